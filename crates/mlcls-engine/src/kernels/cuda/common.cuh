// What all kernels share: number formats, activations, how values and gradients are read, and random numbers.
//
// Every kernel takes one structure. Maps are NHWC; a row is one pixel's channels. Kernels come in two widths: the wide ones
// read VECTOR elements, 16 bytes, or PAIR elements at a time and need channels that are a multiple of it.

typedef unsigned long long u64;
typedef unsigned int u32;
typedef unsigned short u16;
typedef unsigned char u8;

#define FP32 0
#define TF32 1
#define BF16 2
#define FP16 3

#if PRECISION == BF16 || PRECISION == FP16
#define VECTOR 8
struct Store {
    u16 bits;
};
#else
#define VECTOR 4
typedef float Store;
#endif

#if PRECISION == BF16
__device__ inline float get(Store v) { return __uint_as_float((u32)v.bits << 16); }
__device__ inline Store put(float v) { return Store{bf16_bits(v)}; }
#elif PRECISION == FP16
__device__ inline float get(Store v) { return half_value(v.bits); }
__device__ inline Store put(float v) { return Store{half_bits(v)}; }
#else
__device__ inline float get(Store v) { return v; }
__device__ inline Store put(float v) { return v; }
#endif

// W elements that are read and written as one.
template <int W>
struct alignas(W * sizeof(Store)) Chunk {
    Store v[W];
};

template <int W>
__device__ inline void load(const Chunk<W>& chunk, float (&out)[W]) {
    for (int i = 0; i < W; i++) out[i] = get(chunk.v[i]);
}

template <int W>
__device__ inline Chunk<W> chunk_at(const Store* from) {
    return *reinterpret_cast<const Chunk<W>*>(from);
}

template <int W>
__device__ inline void store(Store* to, const float (&v)[W]) {
    Chunk<W> chunk;
    for (int i = 0; i < W; i++) chunk.v[i] = put(v[i]);
    *reinterpret_cast<Chunk<W>*>(to) = chunk;
}

// The same for vectors of single precision, which are read 16 bytes at a time.
template <int W>
struct alignas(W < 4 ? 4 * W : 16) Numbers {
    float v[W];
};

template <int W>
__device__ inline void numbers(const float* from, float (&out)[W]) {
    Numbers<W> all = *reinterpret_cast<const Numbers<W>*>(from);
    for (int i = 0; i < W; i++) out[i] = all.v[i];
}

template <int W>
__device__ inline Numbers<W> as_numbers(const float (&v)[W]) {
    Numbers<W> all;
    for (int i = 0; i < W; i++) all.v[i] = v[i];
    return all;
}

// Vectors that belong to channels are read for so many at a time, or they would take too many registers.
template <int W>
constexpr int PIECE = W < 4 ? W : 4;

template <int W>
__device__ inline void fill(float (&out)[W], float v) {
    for (int i = 0; i < W; i++) out[i] = v;
}

// Memory of maps, or of the plan's output, which is always single precision.
struct Map {
    void* at;
    int single; // precision
    int pad;
};

__device__ inline float get(const Map& map, size_t i) {
    return map.single ? ((const float*)map.at)[i] : get(((const Store*)map.at)[i]);
}

// Writes, and turns `v` into what readers will see.
template <int W>
__device__ inline void put(const Map& map, size_t i, float (&v)[W]) {
    if (map.single) {
        *reinterpret_cast<Numbers<W>*>((float*)map.at + i) = as_numbers(v);
    } else {
        store<W>((Store*)map.at + i, v);
        for (int j = 0; j < W; j++) v[j] = get(put(v[j]));
    }
}

__device__ inline void put(const Map& map, size_t i, float v) {
    float one[1] = {v};
    put(map, i, one);
}

// ---------------------------------------------------------------------------------------------------------------------------
// Activations, numbered as in the graph.

enum Act { IDENTITY, RELU, RELU6, HARD_SWISH, SILU, SIGMOID, HARD_SIGMOID };

// Within 2 units in the last place; of shorter formats, within what they tell apart.
#if PRECISION == FP32
__device__ inline float sigmoid(float x) { return __fdividef(1.0f, 1.0f + expf(-x)); }
#else
__device__ inline float sigmoid(float x) { return __fdividef(1.0f, 1.0f + __expf(-x)); }
#endif
__device__ inline float relu6(float x) { return fminf(fmaxf(x, 0.0f), 6.0f); }

// The choice is made once for all elements.
template <int W, class F>
__device__ inline void each(float (&x)[W], F f) {
#pragma unroll
    for (int i = 0; i < W; i++) x[i] = f(x[i]);
}

template <int W>
__device__ inline void activate(int act, float (&x)[W]) {
    switch (act) {
    case RELU: return each(x, [](float x) { return fmaxf(x, 0.0f); });
    case RELU6: return each(x, [](float x) { return relu6(x); });
    case HARD_SWISH: return each(x, [](float x) { return x * relu6(x + 3.0f) * (1.0f / 6.0f); });
    case SILU: return each(x, [](float x) { return x * sigmoid(x); });
    case SIGMOID: return each(x, [](float x) { return sigmoid(x); });
    case HARD_SIGMOID: return each(x, [](float x) { return relu6(x + 3.0f) * (1.0f / 6.0f); });
    default: return;
    }
}

__device__ inline float activate(int act, float x) {
    float one[1] = {x};
    activate(act, one);
    return one[0];
}

// Turns `x` into the derivative at it; on a corner the one that the processors' kernels take.
template <int W>
__device__ inline void slope(int act, float (&x)[W]) {
    switch (act) {
    case RELU: return each(x, [](float x) { return x > 0.0f ? 1.0f : 0.0f; });
    case RELU6: return each(x, [](float x) { return x > 0.0f && x < 6.0f ? 1.0f : 0.0f; });
    case HARD_SWISH:
        return each(x, [](float x) { return x >= 3.0f ? 1.0f : x > -3.0f ? x * (1.0f / 3.0f) + 0.5f : 0.0f; });
    case SILU:
        return each(x, [](float x) {
            float s = sigmoid(x);
            return s + x * s * (1.0f - s);
        });
    case SIGMOID:
        return each(x, [](float x) {
            float s = sigmoid(x);
            return s * (1.0f - s);
        });
    case HARD_SIGMOID: return each(x, [](float x) { return x > -3.0f && x < 3.0f ? 1.0f / 6.0f : 0.0f; });
    default: return each(x, [](float) { return 1.0f; });
    }
}

__device__ inline float slope(int act, float x) {
    float one[1] = {x};
    slope(act, one);
    return one[0];
}

// ---------------------------------------------------------------------------------------------------------------------------
// Values and gradients through what stands behind them.

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

// A batch in one channel: its rows, their mean, and the sum of squares about it.
struct Moments {
    float rows, mean, square;

    // Chan, Golub and LeVeque's rule.
    __device__ void add(const Moments& more) {
        if (more.rows == 0.0f) return;
        float all = rows + more.rows, share = __fdividef(more.rows, all), d = more.mean - mean;
        mean += d * share;
        square += more.square + d * d * rows * share;
        rows = all;
    }
};

// Adds the first `count` of a thread's own values.
template <int N, int W>
__device__ inline void add_rows(Moments (&moments)[W], const float (&v)[N][W], int count) {
    if (count <= 0) return;
#pragma unroll
    for (int j = 0; j < W; j++) {
        float sum = 0.0f, square = 0.0f;
#pragma unroll
        for (int r = 0; r < N; r++) sum += r < count ? v[r][j] : 0.0f;
        float mean = __fdividef(sum, (float)min(N, count));
#pragma unroll
        for (int r = 0; r < N; r++) square += r < count ? (v[r][j] - mean) * (v[r][j] - mean) : 0.0f;
        moments[j].add(Moments{(float)min(N, count), mean, square});
    }
}

// ---------------------------------------------------------------------------------------------------------------------------
// Windows and random numbers.

struct Window {
    int kernel, stride, top, left;
    int h, w, c;    // of the input
    int oh, ow, oc; // of the output
};

__device__ inline u64 mix(u64 z) {
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
}

// Number `index` of the stream (seed, key), in [0, 1); the same as on processors.
__device__ inline float uniform(u64 seed, u64 key, u64 index) {
    const u64 golden = 0x9E3779B97F4A7C15ull;
    u64 state = mix(mix(seed + golden) ^ key) + (index + 1) * golden;
    return (float)(mix(state) >> 40) * (1.0f / 16777216.0f);
}

// 0 with probability p, else one over that of staying.
__device__ inline float keep(u64 seed, u64 key, u64 index, float p) {
    return uniform(seed, key, index) < p ? 0.0f : 1.0f / (1.0f - p);
}

// ---------------------------------------------------------------------------------------------------------------------------
// Blocks of 32 channels side by side, W of them in a thread; groups of threads share them.

constexpr int LANES = 32, BLOCK = 256;

// Channels that a thread of such kernels has, where there are enough.
#define PAIR 2

template <int W>
struct Lane {
    static constexpr int ACROSS = LANES / W, GROUPS = BLOCK / ACROSS;
    int first, group; // channel of the block's, and group

    __device__ Lane() : first(threadIdx.x % ACROSS * W), group(threadIdx.x / ACROSS) {}
};

// The sums over the groups: that of channel i in thread i. All threads call it.
template <int W>
__device__ inline float group_sum(const float (&v)[W]) {
    __shared__ float shares[Lane<W>::GROUPS][LANES];
    Lane<W> lane;
    __syncthreads();
    for (int j = 0; j < W; j++) shares[lane.group][lane.first + j] = v[j];
    __syncthreads();
    float sum = 0.0f;
    if (threadIdx.x < LANES) {
        for (int g = 0; g < Lane<W>::GROUPS; g++) sum += shares[g][threadIdx.x];
    }
    return sum;
}

// The moments over the groups, in the same way.
template <int W>
__device__ inline Moments group_moments(const Moments (&v)[W]) {
    __shared__ Moments shares[Lane<W>::GROUPS][LANES];
    Lane<W> lane;
    __syncthreads();
    for (int j = 0; j < W; j++) shares[lane.group][lane.first + j] = v[j];
    __syncthreads();
    Moments all = {};
    if (threadIdx.x < LANES) {
        for (int g = 0; g < Lane<W>::GROUPS; g++) all.add(shares[g][threadIdx.x]);
    }
    return all;
}
