// What all kernels share: number formats, activations, how values and gradients are read, and random numbers.
//
// Every kernel takes one structure. Maps are NHWC; a row is one pixel's channels. Kernels come in two widths, 1 and VECTOR:
// the wide ones read 16 bytes at a time and need channels that are a multiple of it.

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
__device__ inline void load(const Store* from, float (&out)[W]) {
    Chunk<W> chunk = *reinterpret_cast<const Chunk<W>*>(from);
    for (int i = 0; i < W; i++) out[i] = get(chunk.v[i]);
}

template <int W>
__device__ inline void store(Store* to, const float (&v)[W]) {
    Chunk<W> chunk;
    for (int i = 0; i < W; i++) chunk.v[i] = put(v[i]);
    *reinterpret_cast<Chunk<W>*>(to) = chunk;
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

// Writes, and returns what readers will see.
__device__ inline float put(const Map& map, size_t i, float v) {
    if (map.single) return ((float*)map.at)[i] = v;
    Store s = put(v);
    ((Store*)map.at)[i] = s;
    return get(s);
}

// ---------------------------------------------------------------------------------------------------------------------------
// Activations, numbered as in the graph.

enum Act { IDENTITY, RELU, RELU6, HARD_SWISH, SILU, SIGMOID, HARD_SIGMOID };

__device__ inline float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }
__device__ inline float relu6(float x) { return fminf(fmaxf(x, 0.0f), 6.0f); }

__device__ inline float activate(int act, float x) {
    switch (act) {
    case RELU: return fmaxf(x, 0.0f);
    case RELU6: return relu6(x);
    case HARD_SWISH: return x * relu6(x + 3.0f) * (1.0f / 6.0f);
    case SILU: return x * sigmoid(x);
    case SIGMOID: return sigmoid(x);
    case HARD_SIGMOID: return relu6(x + 3.0f) * (1.0f / 6.0f);
    default: return x;
    }
}

// The derivative; on a corner the one that the processors' kernels take.
__device__ inline float slope(int act, float x) {
    float s;
    switch (act) {
    case RELU: return x > 0.0f ? 1.0f : 0.0f;
    case RELU6: return x > 0.0f && x < 6.0f ? 1.0f : 0.0f;
    case HARD_SWISH: return x >= 3.0f ? 1.0f : x > -3.0f ? x * (1.0f / 3.0f) + 0.5f : 0.0f;
    case SILU: s = sigmoid(x); return s + x * s * (1.0f - s);
    case SIGMOID: s = sigmoid(x); return s * (1.0f - s);
    case HARD_SIGMOID: return x > -3.0f && x < 3.0f ? 1.0f / 6.0f : 0.0f;
    default: return 1.0f;
    }
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

// W elements of channels `ch..` of one image, element `i` of the whole map.
template <int W>
__device__ inline void load(const View& view, size_t i, int image, int ch, float (&out)[W]) {
    load<W>(view.value + i, out);
    if (!view.scale) return;
    for (int j = 0; j < W; j++) out[j] = activate(view.act, out[j] * view.scale[ch + j] + view.shift[ch + j]);
    if (!view.gate) return;
    const float* gate = view.gate + (size_t)image * view.c + ch;
    for (int j = 0; j < W; j++) out[j] *= gate[j];
}

// The gradient of a raw value y from that of what consumers see:
// d' = (d * gate + pooled) * act'(y * scale + shift) if gated, else d; then a * d' + b * (y - mean) + k. No `a`: d itself.
struct Gradient {
    Map d;
    const Store* y;
    const float* a;
    const float* b;
    const float* k;
    const float* mean;
    const float* scale;
    const float* shift;
    const float* gate;   // [images, c]
    const float* pooled; // [images, c]
    int act;
    int c;
};

template <int W>
__device__ inline void load(const Gradient& g, size_t i, int image, int ch, float (&out)[W]) {
    if (g.d.single) {
        for (int j = 0; j < W; j++) out[j] = ((const float*)g.d.at)[i + j];
    } else {
        load<W>((const Store*)g.d.at + i, out);
    }
    if (!g.a) return;
    float y[W];
    load<W>(g.y + i, y);
    if (g.gate) {
        size_t at = (size_t)image * g.c + ch;
        for (int j = 0; j < W; j++) {
            float s = slope(g.act, y[j] * g.scale[ch + j] + g.shift[ch + j]);
            out[j] = (out[j] * g.gate[at + j] + g.pooled[at + j]) * s;
        }
    }
    for (int j = 0; j < W; j++) {
        out[j] = g.a[ch + j] * out[j] + (g.b[ch + j] * (y[j] - g.mean[ch + j]) + g.k[ch + j]);
    }
}

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

// Adds one element's share, finishes it, and returns what was written; `z` is y - mean then.
__device__ inline float put(const Target& t, size_t i, int ch, float d, float& z) {
    if (t.accumulate) d += get(t.d[i]);
    if (t.y) {
        float y = get(t.y[i]);
        d *= slope(t.act, y * t.scale[ch] + t.shift[ch]);
        z = y - t.mean[ch];
    }
    Store s = put(d);
    t.d[i] = s;
    return get(s);
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
// Blocks of 32 channels side by side, each shared by 8 threads.

constexpr int LANES = 32, GROUPS = 8;

// The sum over the groups of threads that share a channel, the same in all of them; all threads call it.
__device__ inline float group_sum(float v) {
    __shared__ float shares[GROUPS][LANES];
    int lane = threadIdx.x % LANES;
    __syncthreads();
    shares[threadIdx.x / LANES][lane] = v;
    __syncthreads();
    float sum = 0.0f;
#pragma unroll
    for (int g = 0; g < GROUPS; g++) sum += shares[g][lane];
    return sum;
}
