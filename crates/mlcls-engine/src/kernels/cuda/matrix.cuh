// Products of matrices in tiles, for convolutions: C[m, n] = sum over k of A[m, k] B[n, k].
//
// Operands are read through loaders, which show a matrix as rows `outer` of contiguous elements `inner`. In the forward pass
// and for gradients of inputs, k is inner; for gradients of weights k, the pixels, is outer (`STRIDED`). A block makes a tile of
// BM x 64 with one warp per 32 x 32 of it; the next slice along k is on its way from memory while this one is multiplied.

#define BN 64
#if PRECISION == BF16 || PRECISION == FP16
#define BK 32
#define PAD_INNER 8
#else
#define BK 16
#define PAD_INNER 4
#endif
#define PAD_OUTER 8 // with these paddings no two lanes of a warp ask the same bank

template <int BM, bool STRIDED>
union Tiles {
    struct {
        alignas(16) Store a[2][STRIDED ? BK * (BM + PAD_OUTER) : BM * (BK + PAD_INNER)];
        alignas(16) Store b[2][STRIDED ? BK * (BN + PAD_OUTER) : BN * (BK + PAD_INNER)];
    } in;
    float out[BM][BN + 1];
};

// One operand's slice of ROWS x BK on its way from memory to shared memory.
template <class Loader, int ROWS, int THREADS, bool STRIDED>
struct Slice {
    static constexpr int W = Loader::W;
    static constexpr int INNER = STRIDED ? ROWS : BK;
    static constexpr int STEP = STRIDED ? ROWS + PAD_OUTER : BK + PAD_INNER;
    static constexpr int PARTS = (ROWS * BK / W + THREADS - 1) / THREADS;
    static constexpr bool EVEN = ROWS * BK / W % THREADS == 0;
    const Loader& loader;
    int first, last; // rows of this tile: `first..last` are there
    typename Loader::Row rows[STRIDED ? 1 : PARTS];
    Chunk<W> parts[PARTS];

    __device__ Slice(const Loader& loader, int first, int last) : loader(loader), first(first), last(last) {
        if constexpr (!STRIDED) {
            // The same rows all along k: where they lie is found once.
#pragma unroll
            for (int i = 0; i < PARTS; i++) {
                int row = first + (threadIdx.x + i * THREADS) * W / INNER;
                if (row < last) rows[i] = loader.row(row);
            }
        }
    }

    __device__ void fetch(int k, int k_end) {
#pragma unroll
        for (int i = 0; i < PARTS; i++) {
            int at = (threadIdx.x + i * THREADS) * W;
            float v[W];
#pragma unroll
            for (int j = 0; j < W; j++) v[j] = 0.0f;
            if (EVEN || at < ROWS * BK) {
                int outer = at / INNER, inner = at % INNER;
                if constexpr (STRIDED) {
                    if (k + outer < k_end && first + inner < last) loader.load(loader.row(k + outer), first + inner, v);
                } else {
                    if (first + outer < last && k + inner < k_end) loader.load(rows[i], k + inner, v);
                }
            }
            store<W>(parts[i].v, v);
        }
    }

    __device__ void keep(Store* to) const {
#pragma unroll
        for (int i = 0; i < PARTS; i++) {
            int at = (threadIdx.x + i * THREADS) * W;
            if (!EVEN && at >= ROWS * BK) break;
            *reinterpret_cast<Chunk<W>*>(to + at / INNER * STEP + at % INNER) = parts[i];
        }
    }
};

// A warp's share of one slice: its 32 x 32 of the tile.
template <int BM, bool STRIDED>
__device__ inline void multiply(float (&acc)[2][4][4], const Store* a, const Store* b, int row, int column) {
    constexpr int A_STEP = STRIDED ? BM + PAD_OUTER : BK + PAD_INNER;
    constexpr int B_STEP = STRIDED ? BN + PAD_OUTER : BK + PAD_INNER;
    int lane = threadIdx.x % 32;
#if PRECISION == BF16 || PRECISION == FP16
    int within = lane % 8, low = lane / 8 % 2 * 8, high = lane / 16 * 8;
#pragma unroll
    for (int k = 0; k < BK; k += 16) {
        u32 fa[2][4], fb[2][4];
#pragma unroll
        for (int i = 0; i < 2; i++) {
            // A's four matrices: low and high rows at the first eight k, then at the last eight. B's: k before columns.
            int m = row + 16 * i, n = column + 16 * i;
            if constexpr (STRIDED) {
                ldmatrix_transposed(fa[i], a + (k + high + within) * A_STEP + m + low);
                ldmatrix_transposed(fb[i], b + (k + low + within) * B_STEP + n + high);
            } else {
                ldmatrix(fa[i], a + (m + low + within) * A_STEP + k + high);
                ldmatrix(fb[i], b + (n + high + within) * B_STEP + k + low);
            }
        }
#pragma unroll
        for (int i = 0; i < 2; i++) {
#pragma unroll
            for (int j = 0; j < 4; j++) {
                u32 pair[2] = {fb[j / 2][j % 2 * 2], fb[j / 2][j % 2 * 2 + 1]};
#if PRECISION == BF16
                mma_bf16(acc[i][j], fa[i], pair);
#else
                mma_f16(acc[i][j], fa[i], pair);
#endif
            }
        }
    }
#else
    int g = lane / 4, t = lane % 4;
    auto at = [](const Store* p, int step, int outer, int k) { return STRIDED ? p[k * step + outer] : p[outer * step + k]; };
#pragma unroll
    for (int k = 0; k < BK; k += 8) {
        u32 fa[2][4], fb[4][2];
#if PRECISION == FP32
        u32 la[2][4], lb[4][2]; // what TF32 loses of each number
#endif
#pragma unroll
        for (int i = 0; i < 2; i++) {
#pragma unroll
            for (int r = 0; r < 4; r++) {
                float v = at(a, A_STEP, row + 16 * i + g + r % 2 * 8, k + t + r / 2 * 4);
                fa[i][r] = tf32_bits(v);
#if PRECISION == FP32
                la[i][r] = tf32_bits(v - __uint_as_float(fa[i][r]));
#endif
            }
        }
#pragma unroll
        for (int j = 0; j < 4; j++) {
#pragma unroll
            for (int r = 0; r < 2; r++) {
                float v = at(b, B_STEP, column + 8 * j + g, k + t + r * 4);
                fb[j][r] = tf32_bits(v);
#if PRECISION == FP32
                lb[j][r] = tf32_bits(v - __uint_as_float(fb[j][r]));
#endif
            }
        }
#pragma unroll
        for (int i = 0; i < 2; i++) {
#pragma unroll
            for (int j = 0; j < 4; j++) {
#if PRECISION == FP32
                mma_tf32(acc[i][j], la[i], fb[j]); // the small products first
                mma_tf32(acc[i][j], fa[i], lb[j]);
#endif
                mma_tf32(acc[i][j], fa[i], fb[j]);
            }
        }
    }
#endif
}

// The tile of C at (m, n), summed over k_first..k_end, into `tiles.out`.
template <int BM, bool STRIDED, class A, class B>
__device__ inline void product(const A& a, int m, int m_end, const B& b, int n, int n_end, int k_first, int k_end,
                               Tiles<BM, STRIDED>& tiles) {
    constexpr int THREADS = 2 * BM;
    Slice<A, BM, THREADS, STRIDED> slice_a(a, m, m_end);
    Slice<B, BN, THREADS, STRIDED> slice_b(b, n, n_end);
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    int row = warp / 2 * 32, column = warp % 2 * 32;
    float acc[2][4][4] = {};
    slice_a.fetch(k_first, k_end);
    slice_b.fetch(k_first, k_end);
    slice_a.keep(tiles.in.a[0]);
    slice_b.keep(tiles.in.b[0]);
    __syncthreads();
    int turn = 0;
    for (int k = k_first; k < k_end; k += BK, turn ^= 1) {
        bool more = k + BK < k_end;
        if (more) {
            slice_a.fetch(k + BK, k_end);
            slice_b.fetch(k + BK, k_end);
        }
        multiply<BM, STRIDED>(acc, tiles.in.a[turn], tiles.in.b[turn], row, column);
        if (more) {
            slice_a.keep(tiles.in.a[turn ^ 1]);
            slice_b.keep(tiles.in.b[turn ^ 1]);
        }
        __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < 2; i++) {
#pragma unroll
        for (int j = 0; j < 4; j++) {
#pragma unroll
            for (int r = 0; r < 4; r++) {
                tiles.out[row + 16 * i + lane / 4 + r / 2 * 8][column + 8 * j + lane % 4 * 2 + r % 2] = acc[i][j][r];
            }
        }
    }
    __syncthreads();
}

// The sum of a column over the teams of threads that share it; all threads call it, and all get it.
template <int TEAMS>
__device__ inline float column_sum(float v, int column, int group) {
    __shared__ float shares[TEAMS][BN];
    __syncthreads();
    shares[group][column] = v;
    __syncthreads();
    float sum = 0.0f;
#pragma unroll
    for (int g = 0; g < TEAMS; g++) sum += shares[g][column];
    return sum;
}
