// What all kernels share: number formats, how elements are read and written, windows and random numbers.
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
__device__ inline Chunk<W> as_chunk(const float (&v)[W]) {
    Chunk<W> chunk;
    for (int i = 0; i < W; i++) chunk.v[i] = put(v[i]);
    return chunk;
}

template <int W>
__device__ inline void store(Store* to, const float (&v)[W]) {
    *reinterpret_cast<Chunk<W>*>(to) = as_chunk(v);
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
