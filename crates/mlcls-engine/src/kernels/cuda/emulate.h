// The hardware on a processor, for tests: in place of hardware.cuh, behind blocks.h.

#include <algorithm>
#include <cmath>

#define __device__
#define __shared__ static thread_local
#define threadIdx emulator::thread_index
#define blockIdx emulator::block_index
#define blockDim emulator::block_size
#define gridDim emulator::grid_size
#define __syncthreads() emulator::wait(emulator::block_barrier)
using std::max;
using std::min;

inline uint32_t __float_as_uint(float v) {
    uint32_t bits;
    memcpy(&bits, &v, 4);
    return bits;
}

inline float __uint_as_float(uint32_t bits) {
    float v;
    memcpy(&v, &bits, 4);
    return v;
}

inline float __expf(float v) { return expf(v); }
inline float __fdividef(float a, float b) { return a / b; }

inline uint16_t bf16_bits(float v) {
    uint32_t bits = __float_as_uint(v);
    if ((bits & 0x7FFFFFFF) > 0x7F800000) return 0x7FFF;
    return (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
}

inline uint16_t half_bits(float v) {
    _Float16 half = (_Float16)v;
    uint16_t bits;
    memcpy(&bits, &half, 2);
    return bits;
}

inline float half_value(uint16_t bits) {
    _Float16 half;
    memcpy(&half, &bits, 2);
    return (float)half;
}

// To nearest, ties away from zero.
inline uint32_t tf32_bits(float v) {
    uint32_t bits = __float_as_uint(v);
    return (bits & 0x7F800000) == 0x7F800000 ? bits : (bits + 0x1000) & 0xFFFFE000;
}

namespace emulator {

inline Warp& warp() { return warps[thread_index.x / 32]; }

template <bool TRANSPOSED>
inline void load_matrices(uint32_t (&r)[4], const void* row) {
    Warp& w = warp();
    unsigned lane = thread_index.x % 32;
    if ((uintptr_t)row % 16) {
        fprintf(stderr, "emulated ldmatrix: a row that does not begin at 16 bytes\n");
        abort();
    }
    // Read at once: the instruction does not wait for what other lanes write.
    memcpy(w.rows[lane], row, 16);
    wait(w.barrier);
    for (unsigned i = 0; i < 4; i++) {
        unsigned major = lane / 4, minor = lane % 4 * 2;
        auto at = [&](unsigned row, unsigned column) -> uint32_t { return w.rows[8 * i + row][column]; };
        r[i] = TRANSPOSED ? at(minor, major) | at(minor + 1, major) << 16 : at(major, minor) | at(major, minor + 1) << 16;
    }
    wait(w.barrier);
}

// d[16, 8] += a[16, k] b[k, 8]; PER numbers in 32 bits, read by `value`.
template <unsigned PER, class Value>
inline void multiply(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Value value) {
    Warp& w = warp();
    unsigned lane = thread_index.x % 32, half = 4 * PER;
    memcpy(w.a[lane], a, sizeof a);
    memcpy(w.b[lane], b, sizeof b);
    wait(w.barrier);
    for (unsigned r = 0; r < 4; r++) {
        unsigned row = lane / 4 + r / 2 * 8, column = lane % 4 * 2 + r % 2;
        for (unsigned k = 0; k < 2 * half; k++) {
            uint32_t x = w.a[row % 8 * 4 + k % half / PER][k / half * 2 + row / 8];
            uint32_t y = w.b[column * 4 + k % half / PER][k / half];
            d[r] += value(x, k % PER) * value(y, k % PER);
        }
    }
    wait(w.barrier);
}

} // namespace emulator

inline void ldmatrix(uint32_t (&r)[4], const void* row) { emulator::load_matrices<false>(r, row); }
inline void ldmatrix_transposed(uint32_t (&r)[4], const void* row) { emulator::load_matrices<true>(r, row); }

inline void mma_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    auto value = [](uint32_t bits, unsigned i) { return __uint_as_float(i ? bits & 0xFFFF0000 : bits << 16); };
    emulator::multiply<2>(d, a, b, value);
}

inline void mma_f16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    auto value = [](uint32_t bits, unsigned i) { return half_value((uint16_t)(i ? bits >> 16 : bits)); };
    emulator::multiply<2>(d, a, b, value);
}

inline void mma_tf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    auto value = [](uint32_t bits, unsigned) { return __uint_as_float(bits & 0xFFFFE000); };
    emulator::multiply<1>(d, a, b, value);
}

inline float warp_sum(float v) {
    emulator::Warp& w = emulator::warp();
    unsigned lane = threadIdx.x % 32;
    for (unsigned step = 16; step > 0; step /= 2) {
        w.values[lane] = v;
        emulator::wait(w.barrier);
        v += w.values[lane ^ step];
        emulator::wait(w.barrier);
    }
    return v;
}

#define KERNEL(name, Args, max_threads)                                                                                \
    static void name##_body(const Args& args);                                                                         \
    extern "C" int name(const void* args, size_t len, const unsigned* grid, unsigned threads) {                        \
        auto body = [](const void* args) { name##_body(*(const Args*)args); };                                         \
        return emulator::launch(body, args, len, sizeof(Args), grid, threads, max_threads);                            \
    }                                                                                                                  \
    static void name##_body(const Args& args)
