// Loaders of products (see matrix.cuh) for convolutions: they show pixels, values, gradients and weights as matrices that are
// never stored; windows, batch-norm, activation and gate are applied on the way.

struct Pixel {
    int image, y, x;
};

// Whether every window is one pixel, with the same place in input and output: then rows are rows, and x is their number.
__device__ inline bool is_point(const Window& win) {
    return win.kernel == 1 && win.stride == 1 && win.oh == win.h && win.ow == win.w;
}

// A pixel of a map h x w.
__device__ inline Pixel pixel_of(int outer, int h, int w) {
    int image = outer / (h * w), pixel = outer % (h * w);
    return Pixel{image, pixel / w, pixel % w};
}

// The input pixel at which the window under an output pixel begins; it may lie in the border.
__device__ inline Pixel window_start(const Window& win, int outer) {
    Pixel p = pixel_of(outer, win.oh, win.ow);
    return Pixel{p.image, p.y * win.stride - win.top, p.x * win.stride - win.left};
}

// The element of the input under element `inner` of a window that begins at `start`, and its channel; -1 in the border.
__device__ inline int element_under(const Window& win, const Pixel& start, int inner, int& ch) {
    int tap = inner / win.c, y = start.y + tap / win.kernel, x = start.x + tap % win.kernel;
    ch = inner % win.c;
    bool inside = (u32)y < (u32)win.h && (u32)x < (u32)win.w;
    return inside ? ((start.image * win.h + y) * win.w + x) * win.c + ch : -1;
}

// The window under each output pixel, tap after tap, channels inside; of the image itself.
struct PixelWindows {
    static constexpr int W = 1;
    const u8* pixels;
    const Window& win;
    const float* scale; // [3]
    const float* shift; // [3]
    typedef Pixel Row;
    typedef int Parts; // the channel and the pixel's byte; or -1: in the border
    __device__ Row row(int outer) const { return window_start(win, outer); }
    __device__ Parts fetch(const Row& r, int inner) const {
        int ch, i = element_under(win, r, inner, ch);
        return i < 0 ? -1 : ch << 8 | pixels[i];
    }
    __device__ Chunk<W> finish(const Row&, int, Parts parts, int) const {
        if (parts < 0) return {};
        float out[W] = {(float)(parts & 0xFF) * scale[parts >> 8] + shift[parts >> 8]};
        return as_chunk(out);
    }
};

// The same of a value.
template <int WIDTH>
struct Windows {
    static constexpr int W = WIDTH;
    const View& view;
    const Window& win;
    typedef Pixel Row;
    struct Parts {
        Chunk<W> value;
        int ch; // or -1: in the border
    };
    __device__ Row row(int outer) const {
        if (!is_point(win)) return window_start(win, outer);
        return Row{view.gate ? outer / (win.h * win.w) : 0, 0, outer};
    }
    __device__ Parts fetch(const Row& r, int inner) const {
        if (is_point(win)) return Parts{chunk_at<W>(view.value + r.x * win.c + inner), inner};
        int ch, i = element_under(win, r, inner, ch);
        if (i < 0) return Parts{{}, -1};
        return Parts{chunk_at<W>(view.value + i), ch};
    }
    __device__ Chunk<PIECE<W>> finish(const Row& r, int, const Parts& parts, int piece) const {
        if (parts.ch < 0) return {};
        float out[PIECE<W>];
        for (int j = 0; j < PIECE<W>; j++) out[j] = get(parts.value.v[piece + j]);
        if (view.scale) Seen<PIECE<W>>(view, r.image, parts.ch + piece).apply(out);
        return as_chunk(out);
    }
};

// Gradients of the output pixels, row by row.
template <int WIDTH>
struct GradientRows {
    static constexpr int W = WIDTH;
    const Gradient& g;
    int pixels; // of one image
    struct Row {
        int at, image;
    };
    typedef GradientParts<W> Parts;
    __device__ Row row(int outer) const { return Row{outer, g.gate ? outer / pixels : 0}; }
    __device__ Parts fetch(const Row& r, int inner) const { return ::fetch<W>(g, r.at * g.c + inner); }
    __device__ Chunk<PIECE<W>> finish(const Row& r, int inner, const Parts& parts, int piece) const {
        float out[PIECE<W>];
        Reached<PIECE<W>>(g, r.image, inner + piece).apply(g, parts, piece, out);
        return as_chunk(out);
    }
};

// For each input pixel, the gradients of the outputs that it was part of: tap after tap, channels inside.
template <int WIDTH>
struct GradientWindows {
    static constexpr int W = WIDTH;
    const Gradient& g;
    const Window& win;
    typedef Pixel Row;
    struct Parts {
        GradientParts<W> parts;
        int ch; // or -1: of no output
    };
    __device__ Row row(int outer) const {
        if (is_point(win)) return Row{g.gate ? outer / (win.h * win.w) : 0, 0, outer};
        Pixel p = pixel_of(outer, win.h, win.w);
        return Row{p.image, p.y + win.top, p.x + win.left};
    }
    __device__ Parts fetch(const Row& r, int inner) const {
        if (is_point(win)) return at(r.x * win.oc + inner, inner);
        int tap = inner / win.oc, ch = inner % win.oc;
        int y = r.y - tap / win.kernel, x = r.x - tap % win.kernel;
        if (win.stride > 1) {
            if (y < 0 || x < 0 || y % win.stride || x % win.stride) return Parts{{}, -1};
            y /= win.stride;
            x /= win.stride;
        }
        if ((u32)y >= (u32)win.oh || (u32)x >= (u32)win.ow) return Parts{{}, -1};
        return at(((r.image * win.oh + y) * win.ow + x) * win.oc + ch, ch);
    }
    __device__ Parts at(int i, int ch) const { return Parts{::fetch<W>(g, i), ch}; }
    __device__ Chunk<PIECE<W>> finish(const Row& r, int, const Parts& parts, int piece) const {
        if (parts.ch < 0) return {};
        float out[PIECE<W>];
        Reached<PIECE<W>>(g, r.image, parts.ch + piece).apply(g, parts.parts, piece, out);
        return as_chunk(out);
    }
};

// Weights as packed below.
template <int WIDTH>
struct WeightRows {
    static constexpr int W = WIDTH;
    const Store* weight;
    int k;
    typedef int Row;
    typedef Chunk<W> Parts;
    __device__ Row row(int outer) const { return outer; }
    __device__ Parts fetch(const Row& r, int inner) const { return chunk_at<W>(weight + r * k + inner); }
    __device__ Chunk<PIECE<W>> finish(const Row&, int, const Parts& parts, int piece) const {
        Chunk<PIECE<W>> out;
        for (int j = 0; j < PIECE<W>; j++) out.v[j] = parts.v[piece + j];
        return out;
    }
};
