// Convolutions over all channels: outputs, gradients of inputs and gradients of weights as products of matrices that are
// never stored; windows, batch-norm, activation and gate are applied while reading.

// ---------------------------------------------------------------------------------------------------------------------------
// Loaders.

struct Pixel {
    int image, y, x;
};

// The input pixel at which the window under an output pixel begins; it may lie in the border.
__device__ inline Pixel window_start(const Window& win, int outer) {
    int pixel = outer % (win.oh * win.ow);
    return Pixel{outer / (win.oh * win.ow), pixel / win.ow * win.stride - win.top,
                 pixel % win.ow * win.stride - win.left};
}

// The window under each output pixel, tap after tap, channels inside; of the image itself.
struct PixelWindows {
    static constexpr int W = 1;
    const u8* pixels;
    const Window& win;
    const float* scale; // [3]
    const float* shift; // [3]
    typedef Pixel Row;
    __device__ Row row(int outer) const { return window_start(win, outer); }
    __device__ void load(const Row& r, int inner, float (&out)[W]) const {
        int tap = inner / win.c, ch = inner % win.c;
        int y = r.y + tap / win.kernel, x = r.x + tap % win.kernel;
        if ((u32)y >= (u32)win.h || (u32)x >= (u32)win.w) return;
        out[0] = (float)pixels[(((size_t)r.image * win.h + y) * win.w + x) * win.c + ch] * scale[ch] + shift[ch];
    }
};

// The same of a value.
template <int WIDTH>
struct Windows {
    static constexpr int W = WIDTH;
    const View& view;
    const Window& win;
    typedef Pixel Row;
    __device__ Row row(int outer) const { return window_start(win, outer); }
    __device__ void load(const Row& r, int inner, float (&out)[W]) const {
        int ch = inner, y = r.y, x = r.x;
        if (win.kernel > 1) {
            int tap = inner / win.c;
            ch = inner % win.c;
            y += tap / win.kernel;
            x += tap % win.kernel;
        }
        if ((u32)y >= (u32)win.h || (u32)x >= (u32)win.w) return;
        size_t i = (((size_t)r.image * win.h + y) * win.w + x) * win.c + ch;
        ::load<W>(view, i, r.image, ch, out);
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
    __device__ Row row(int outer) const { return Row{outer, g.gate ? outer / pixels : 0}; }
    __device__ void load(const Row& r, int inner, float (&out)[W]) const {
        ::load<W>(g, (size_t)r.at * g.c + inner, r.image, inner, out);
    }
};

// For each input pixel, the gradients of the outputs that it was part of: tap after tap, channels inside.
template <int WIDTH>
struct GradientWindows {
    static constexpr int W = WIDTH;
    const Gradient& g;
    const Window& win;
    typedef Pixel Row;
    __device__ Row row(int outer) const {
        int pixel = outer % (win.h * win.w);
        return Row{outer / (win.h * win.w), pixel / win.w + win.top, pixel % win.w + win.left};
    }
    __device__ void load(const Row& r, int inner, float (&out)[W]) const {
        int ch = inner, y = r.y, x = r.x;
        if (win.kernel > 1) {
            int tap = inner / win.oc;
            ch = inner % win.oc;
            y -= tap / win.kernel;
            x -= tap % win.kernel;
        }
        if (win.stride > 1) {
            if (y < 0 || x < 0 || y % win.stride || x % win.stride) return;
            y /= win.stride;
            x /= win.stride;
        }
        if ((u32)y >= (u32)win.oh || (u32)x >= (u32)win.ow) return;
        size_t i = (((size_t)r.image * win.oh + y) * win.ow + x) * win.oc + ch;
        ::load<W>(g, i, r.image, ch, out);
    }
};

// Weights as packed below.
template <int WIDTH>
struct WeightRows {
    static constexpr int W = WIDTH;
    const Store* weight;
    int k;
    typedef int Row;
    __device__ Row row(int outer) const { return outer; }
    __device__ void load(const Row& r, int inner, float (&out)[W]) const {
        ::load<W>(weight + (size_t)r * k + inner, out);
    }
};

// ---------------------------------------------------------------------------------------------------------------------------
// Weights: [out, in, taps] to [out, taps, in] for the forward pass and [in, taps, out] for the gradient of the input.

struct Pack {
    const float* weight;
    Store* forward;
    Store* backward; // null: no gradient is wanted
    int out, in, taps;
    int pad;
};

KERNEL(conv_pack, Pack, 256) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= args.out * args.in * args.taps) return;
    int o = i / (args.in * args.taps), ch = i / args.taps % args.in, tap = i % args.taps;
    Store v = put(args.weight[i]);
    args.forward[((size_t)o * args.taps + tap) * args.in + ch] = v;
    if (args.backward) args.backward[((size_t)ch * args.taps + tap) * args.out + o] = v;
}

// ---------------------------------------------------------------------------------------------------------------------------
// Outputs.

struct ConvForward {
    View view;
    const u8* pixels; // or null
    const float* normalise; // scale [3] and shift [3] of pixels
    const Store* weight;
    const float* bias;
    Map out;
    float* moments; // [blocks, 3, oc]: rows, their mean, and the sum of squares about it; or null
    Window win;
    int n; // images
    int pad;
};

template <int BM, class Input, int W>
__device__ inline void conv_forward(const ConvForward& args, const Input& input) {
    __shared__ Tiles<BM, false> tiles;
    int rows = args.n * args.win.oh * args.win.ow, columns = args.win.oc;
    int k = args.win.kernel * args.win.kernel * args.win.c;
    int m = blockIdx.x * BM, n = blockIdx.y * BN;
    WeightRows<W> weights{args.weight, k};
    product<BM, false>(input, m, rows, weights, n, columns, 0, k, tiles);

    constexpr int TEAMS = 2 * BM / BN;
    int column = threadIdx.x % BN, team = threadIdx.x / BN;
    int count = min(BM, rows - m), ch = n + column;
    bool inside = ch < columns;
    float bias = inside && args.bias ? args.bias[ch] : 0.0f;
    float sum = 0.0f;
    if (inside) {
        for (int r = team; r < count; r += TEAMS) {
            float v = put(args.out, (size_t)(m + r) * columns + ch, tiles.out[r][column] + bias);
            tiles.out[r][column] = v;
            sum += v;
        }
    }
    if (!args.moments) return;
    float mean = column_sum<TEAMS>(sum, column, team) / count;
    float square = 0.0f;
    if (inside) {
        for (int r = team; r < count; r += TEAMS) {
            float d = tiles.out[r][column] - mean;
            square += d * d;
        }
    }
    square = column_sum<TEAMS>(square, column, team);
    if (inside && team == 0) {
        float* moments = args.moments + (size_t)blockIdx.x * 3 * columns + ch;
        moments[0] = (float)count;
        moments[columns] = mean;
        moments[2 * columns] = square;
    }
}

#define CONV_FORWARD(BM, SUFFIX, W)                                                                                    \
    KERNEL(conv_forward_##BM##SUFFIX, ConvForward, 2 * BM) {                                                           \
        conv_forward<BM, Windows<W>, W>(args, Windows<W>{args.view, args.win});                                        \
    }
CONV_FORWARD(64, , 1)
CONV_FORWARD(128, , 1)
CONV_FORWARD(64, _wide, VECTOR)
CONV_FORWARD(128, _wide, VECTOR)

KERNEL(conv_forward_pixels, ConvForward, 256) {
    PixelWindows input{args.pixels, args.win, args.normalise, args.normalise + 3};
    conv_forward<128, PixelWindows, 1>(args, input);
}

// ---------------------------------------------------------------------------------------------------------------------------
// Gradients of inputs.

struct ConvInput {
    Gradient g;
    const Store* weight; // [in, taps, out]
    Target target;
    Window win;
    int n; // images
    int pad;
};

template <int BM, int W>
__device__ inline void conv_input(const ConvInput& args) {
    __shared__ Tiles<BM, false> tiles;
    int rows = args.n * args.win.h * args.win.w, columns = args.win.c;
    int k = args.win.kernel * args.win.kernel * args.win.oc;
    int m = blockIdx.x * BM, n = blockIdx.y * BN;
    GradientWindows<W> input{args.g, args.win};
    WeightRows<W> weights{args.weight, k};
    product<BM, false>(input, m, rows, weights, n, columns, 0, k, tiles);

    constexpr int TEAMS = 2 * BM / BN;
    int column = threadIdx.x % BN, team = threadIdx.x / BN;
    int count = min(BM, rows - m), ch = n + column;
    bool inside = ch < columns;
    float sum = 0.0f, dot = 0.0f;
    if (inside) {
        for (int r = team; r < count; r += TEAMS) {
            float z = 0.0f;
            float d = put(args.target, (size_t)(m + r) * columns + ch, ch, tiles.out[r][column], z);
            sum += d;
            dot += d * z;
        }
    }
    if (!args.target.y) return;
    sum = column_sum<TEAMS>(sum, column, team);
    dot = column_sum<TEAMS>(dot, column, team);
    if (inside && team == 0) {
        float* sums = args.target.sums + (size_t)blockIdx.x * 2 * columns + ch;
        sums[0] = sum;
        sums[columns] = dot;
    }
}

KERNEL(conv_input_64, ConvInput, 128) { conv_input<64, 1>(args); }
KERNEL(conv_input_128, ConvInput, 256) { conv_input<128, 1>(args); }
KERNEL(conv_input_64_wide, ConvInput, 128) { conv_input<64, VECTOR>(args); }
KERNEL(conv_input_128_wide, ConvInput, 256) { conv_input<128, VECTOR>(args); }

// ---------------------------------------------------------------------------------------------------------------------------
// Gradients of weights: the pixels are split among `gridDim.z` blocks, whose shares are added up in their order.

struct ConvWeight {
    Gradient g;
    View view;
    const u8* pixels; // or null
    const float* normalise;
    float* shares; // [splits, out, taps, in]
    Window win;
    int n;      // images
    int length; // pixels of a split
};

template <class Input, int W>
__device__ inline void conv_weight(const ConvWeight& args, const Input& input) {
    constexpr int BM = 64;
    __shared__ Tiles<BM, true> tiles;
    int pixels = args.win.oh * args.win.ow;
    int rows = args.win.oc, columns = args.win.kernel * args.win.kernel * args.win.c;
    int m = blockIdx.x * BM, n = blockIdx.y * BN;
    int first = blockIdx.z * args.length, end = min(first + args.length, args.n * pixels);
    GradientRows<W> gradients{args.g, pixels};
    product<BM, true>(gradients, m, rows, input, n, columns, first, end, tiles);
    float* share = args.shares + (size_t)blockIdx.z * rows * columns;
    for (int i = threadIdx.x; i < BM * BN; i += 2 * BM) {
        int r = i / BN, column = i % BN;
        if (m + r < rows && n + column < columns) share[(size_t)(m + r) * columns + n + column] = tiles.out[r][column];
    }
}

KERNEL(conv_weight, ConvWeight, 128) {
    conv_weight<Windows<1>, 1>(args, Windows<1>{args.view, args.win});
}
KERNEL(conv_weight_wide, ConvWeight, 128) {
    conv_weight<Windows<VECTOR>, VECTOR>(args, Windows<VECTOR>{args.view, args.win});
}
KERNEL(conv_weight_pixels, ConvWeight, 128) {
    PixelWindows input{args.pixels, args.win, args.normalise, args.normalise + 3};
    conv_weight<PixelWindows, 1>(args, input);
}

// Adds up shares [parts, out, taps, in] into [out, in, taps].
struct WeightSum {
    const float* shares;
    float* out;
    int parts, outputs, taps, in;
};

KERNEL(weight_sum, WeightSum, 256) {
    int len = args.outputs * args.taps * args.in, i = blockIdx.x * LANES + threadIdx.x % LANES;
    float sum = 0.0f;
    if (i < len) {
        for (int p = threadIdx.x / LANES; p < args.parts; p += GROUPS) sum += args.shares[(size_t)p * len + i];
    }
    sum = group_sum(sum);
    if (i >= len || threadIdx.x >= LANES) return;
    int o = i / (args.taps * args.in), tap = i / args.in % args.taps, ch = i % args.in;
    args.out[((size_t)o * args.in + ch) * args.taps + tap] = sum;
}

// The gradient of a bias: sums of the rows' gradients, in shares as above.
struct BiasSum {
    Gradient g;
    float* shares; // [gridDim.y, c]
    int rows, pixels;
};

KERNEL(bias_sum, BiasSum, 256) {
    int ch = blockIdx.x * LANES + threadIdx.x % LANES;
    float sum = 0.0f;
    if (ch < args.g.c) {
        for (int r = blockIdx.y * GROUPS + threadIdx.x / LANES; r < args.rows; r += gridDim.y * GROUPS) {
            float d[1];
            load<1>(args.g, (size_t)r * args.g.c + ch, r / args.pixels, ch, d);
            sum += d[0];
        }
    }
    sum = group_sum(sum);
    if (ch < args.g.c && threadIdx.x < LANES) args.shares[(size_t)blockIdx.y * args.g.c + ch] = sum;
}
