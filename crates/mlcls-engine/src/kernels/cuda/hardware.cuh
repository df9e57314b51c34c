// What only the hardware has: conversions and the instructions for small matrices. Needs compute capability 8.0.

__device__ inline unsigned short bf16_bits(float v) {
    unsigned short bits;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(v));
    return bits;
}

__device__ inline unsigned short half_bits(float v) {
    unsigned short bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(v));
    return bits;
}

__device__ inline float half_value(unsigned short bits) {
    float v;
    asm("cvt.f32.f16 %0, %1;" : "=f"(v) : "h"(bits));
    return v;
}

__device__ inline unsigned int tf32_bits(float v) {
    unsigned int bits;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(v));
    return bits;
}

// Four 8x8 matrices of 16-bit numbers; lane 8 i + j gives the address of row j of matrix i.
__device__ inline void ldmatrix(unsigned int (&r)[4], const void* row) {
    unsigned int at = (unsigned int)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(at)
                 : "memory");
}

__device__ inline void ldmatrix_transposed(unsigned int (&r)[4], const void* row) {
    unsigned int at = (unsigned int)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(at)
                 : "memory");
}

// d[16, 8] += a[16, k] b[k, 8] by a warp; k is 16 for 16-bit numbers and 8 for TF32.
#define MMA(shape)                                                                                                     \
    asm volatile("mma.sync.aligned." shape " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"          \
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])                                                      \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]))

__device__ inline void mma_bf16(float (&d)[4], const unsigned int (&a)[4], const unsigned int (&b)[2]) {
    MMA("m16n8k16.row.col.f32.bf16.bf16.f32");
}

__device__ inline void mma_f16(float (&d)[4], const unsigned int (&a)[4], const unsigned int (&b)[2]) {
    MMA("m16n8k16.row.col.f32.f16.f16.f32");
}

__device__ inline void mma_tf32(float (&d)[4], const unsigned int (&a)[4], const unsigned int (&b)[2]) {
    MMA("m16n8k8.row.col.f32.tf32.tf32.f32");
}

// Sum over the lanes of a warp, the same in all of them.
__device__ inline float warp_sum(float v) {
    for (int step = 16; step > 0; step /= 2) v += __shfl_xor_sync(0xFFFFFFFFu, v, step);
    return v;
}

// At least 512 threads of a processor, so that a thread has at most 128 registers.
#define KERNEL(name, Args, max_threads)                                                                                \
    extern "C" __global__ void __launch_bounds__(max_threads, 512 / (max_threads)) name(const Args args)
