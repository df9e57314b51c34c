// Values and gradients, read and written through the batch-norm, activation and gate that stand behind them.

// act(value * scale + shift) * gate; no scale: the value as it is; no gate: 1.
struct View {
    const Store* value;
    const float* scale;
    const float* shift;
    const float* gate; // [images, c]
    int act;
    int c;
};

// What a view does to W channels of an image.
template <int W>
struct Seen {
    float scale[W], shift[W], gate[W];
    int act;

    __device__ Seen(const View& view, int image, int ch) {
        fill(scale, 1.0f);
        fill(shift, 0.0f);
        act = IDENTITY;
        if (view.scale) {
            numbers(view.scale + ch, scale);
            numbers(view.shift + ch, shift);
            act = view.act;
        }
        turn(view, image, ch);
    }

    // To the same channels of another image.
    __device__ void turn(const View& view, int image, int ch) {
        fill(gate, 1.0f);
        if (view.gate) numbers(view.gate + (size_t)image * view.c + ch, gate);
    }

    __device__ void apply(float (&x)[W]) const {
        for (int j = 0; j < W; j++) x[j] = x[j] * scale[j] + shift[j];
        activate(act, x);
        for (int j = 0; j < W; j++) x[j] *= gate[j];
    }
};

// W elements of channels `ch..` of one image, element `i` of the whole map.
template <int W>
__device__ inline void load(const View& view, size_t i, int image, int ch, float (&out)[W]) {
    load(chunk_at<W>(view.value + i), out);
    if (view.scale) Seen<W>(view, image, ch).apply(out);
}

// The gradient of a raw value y from that of what consumers see:
// d' = (d * gate + pooled) * act'(y * scale + shift) if gated, else d; then a * d' + b * y + k. No `a`: d itself.
struct Gradient {
    Map d;
    const Store* y;
    const float* a;
    const float* b;
    const float* k;
    const float* scale;
    const float* shift;
    const float* gate;   // [images, c]
    const float* pooled; // [images, c]
    int act;
    int c;
};

// What it is made of, on its way from memory. Only one element at a time can be single precision.
template <int W>
struct GradientParts {
    Chunk<W> d, y;

    __device__ void fetch(const Map& map, int i) { d = chunk_at<W>((const Store*)map.at + i); }
    __device__ float get(int j) const { return ::get(d.v[j]); }
};

template <>
struct GradientParts<1> {
    float d;
    Chunk<1> y;

    __device__ void fetch(const Map& map, int i) { d = ::get(map, i); }
    __device__ float get(int) const { return d; }
};

template <int W>
__device__ inline GradientParts<W> fetch(const Gradient& g, int i) {
    GradientParts<W> parts = {};
    parts.fetch(g.d, i);
    if (g.a) parts.y = chunk_at<W>(g.y + i);
    return parts;
}

// What becomes of W channels of an image.
template <int W>
struct Reached {
    float a[W], b[W], k[W], scale[W], shift[W], gate[W], pooled[W];

    __device__ Reached(const Gradient& g, int image, int ch) {
        if (!g.a) return;
        numbers(g.a + ch, a);
        numbers(g.b + ch, b);
        numbers(g.k + ch, k);
        if (!g.gate) return;
        numbers(g.scale + ch, scale);
        numbers(g.shift + ch, shift);
        turn(g, image, ch);
    }

    // To the same channels of another image.
    __device__ void turn(const Gradient& g, int image, int ch) {
        if (!g.gate) return;
        numbers(g.gate + (size_t)image * g.c + ch, gate);
        numbers(g.pooled + (size_t)image * g.c + ch, pooled);
    }

    // Of the elements from `from` on.
    template <int WIDTH>
    __device__ void apply(const Gradient& g, const GradientParts<WIDTH>& parts, int from, float (&out)[W]) const {
        for (int j = 0; j < W; j++) out[j] = parts.get(from + j);
        if (!g.a) return;
        float y[W];
        for (int j = 0; j < W; j++) y[j] = get(parts.y.v[from + j]);
        if (g.gate) {
            float s[W];
            for (int j = 0; j < W; j++) s[j] = y[j] * scale[j] + shift[j];
            slope(g.act, s);
            for (int j = 0; j < W; j++) out[j] = (out[j] * gate[j] + pooled[j]) * s[j];
        }
        for (int j = 0; j < W; j++) out[j] = a[j] * out[j] + (b[j] * y[j] + k[j]);
    }
};

// Where the gradient of a value goes. The last of its consumers finishes it, if a batch-norm or an activation stands behind
// the value: d becomes d * act'(y * scale + shift), and the sums over rows of d and of d * (y - mean) are left for batch-norm's
// own gradient, per block of rows.
struct Target {
    Store* d;
    const Store* y; // null: not finished here
    const float* scale;
    const float* shift;
    const float* mean;
    float* sums; // [blocks, 2, c]
    int act;
    int accumulate;
};

// W channels of it, and their sums so far.
template <int W>
struct Finished {
    float scale[W], shift[W], mean[W], sum[W], dot[W];

    // Channels that are not there are not asked for.
    __device__ Finished(const Target& t, bool inside, int ch) {
        fill(sum, 0.0f);
        fill(dot, 0.0f);
        if (!inside || !t.y) return;
        numbers(t.scale + ch, scale);
        numbers(t.shift + ch, shift);
        numbers(t.mean + ch, mean);
    }

    // What lies at the elements from `i` on.
    struct Parts {
        Chunk<W> before, y;
    };

    __device__ static Parts fetch(const Target& t, size_t i) {
        Parts parts = {};
        if (t.accumulate) parts.before = chunk_at<W>(t.d + i);
        if (t.y) parts.y = chunk_at<W>(t.y + i);
        return parts;
    }

    // Adds the share `d` and finishes them.
    __device__ void put(const Target& t, size_t i, const Parts& parts, float (&d)[W]) {
        if (t.accumulate) {
            for (int j = 0; j < W; j++) d[j] += get(parts.before.v[j]);
        }
        if (!t.y) return store<W>(t.d + i, d);
        float y[W], s[W];
        load(parts.y, y);
        for (int j = 0; j < W; j++) s[j] = y[j] * scale[j] + shift[j];
        slope(t.act, s);
        for (int j = 0; j < W; j++) d[j] *= s[j];
        store<W>(t.d + i, d);
        for (int j = 0; j < W; j++) {
            float seen = get(::put(d[j]));
            sum[j] += seen;
            dot[j] += seen * (y[j] - mean[j]);
        }
    }
};
