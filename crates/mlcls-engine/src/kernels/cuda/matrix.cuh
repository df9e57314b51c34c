// Products of matrices in tiles, for convolutions: C[m, n] = sum over k of A[m, k] B[n, k].
//
// Operands are read through loaders, which show a matrix as rows `outer` of contiguous elements `inner`. In the forward pass
// and for gradients of inputs, k is inner; for gradients of weights k, the pixels, is outer (`STRIDED`). A block makes a tile of
// BM x 64 with one warp per 32 x 32 of it. The next slice along k is on its way from memory while this one is multiplied: what
// loaders do to it is done when it has arrived.

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
    float out[BM][BN + 8]; // so that pairs beside each other are written and read without conflicts
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
    int k, k_end;    // of the slice that was fetched
    typename Loader::Row rows[PARTS];
    typename Loader::Parts parts[PARTS];

    __device__ Slice(const Loader& loader, int first, int last, int k_end)
        : loader(loader), first(first), last(last), k(0), k_end(k_end) {
        if constexpr (!STRIDED) {
            // The same rows all along k: where they lie is found once.
#pragma unroll
            for (int i = 0; i < PARTS; i++) {
                int row = first + at(i) / INNER;
                if (row < last) rows[i] = loader.row(row);
            }
        }
    }

    // The first element of part `i`, and whether that is there.
    __device__ int at(int i) const { return (threadIdx.x + i * THREADS) * W; }
    __device__ bool there(int i) const {
        int outer = at(i) / INNER, inner = at(i) % INNER;
        if (!EVEN && at(i) >= ROWS * BK) return false;
        return STRIDED ? k + outer < k_end && first + inner < last : first + outer < last && k + inner < k_end;
    }
    __device__ int inner(int i) const { return at(i) % INNER + (STRIDED ? first : k); }

    __device__ void fetch(int next) {
        k = next;
#pragma unroll
        for (int i = 0; i < PARTS; i++) {
            if (!there(i)) continue;
            if constexpr (STRIDED) rows[i] = loader.row(k + at(i) / INNER);
            parts[i] = loader.fetch(rows[i], inner(i));
        }
    }

    __device__ void keep(Store* to) const {
        constexpr int P = PIECE<W>;
#pragma unroll
        for (int piece = 0; piece < W; piece += P) {
#pragma unroll
            for (int i = 0; i < PARTS; i++) {
                if (!EVEN && at(i) >= ROWS * BK) break;
                Chunk<P> chunk = {};
                if (there(i)) chunk = loader.finish(rows[i], inner(i), parts[i], piece);
                *reinterpret_cast<Chunk<P>*>(to + at(i) / INNER * STEP + at(i) % INNER + piece) = chunk;
            }
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
                // The small products first; and tensor cores do not round but cut when they add, so that sums are ours.
                float part[4] = {};
                mma_tf32(part, la[i], fb[j]);
                mma_tf32(part, fa[i], lb[j]);
                mma_tf32(part, fa[i], fb[j]);
#pragma unroll
                for (int r = 0; r < 4; r++) acc[i][j][r] += part[r];
#else
                mma_tf32(acc[i][j], fa[i], fb[j]);
#endif
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
    Slice<A, BM, THREADS, STRIDED> slice_a(a, m, m_end, k_end);
    Slice<B, BN, THREADS, STRIDED> slice_b(b, n, n_end, k_end);
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    int row = warp / 2 * 32, column = warp % 2 * 32;
    float acc[2][4][4] = {};
    // In the first turn there is nothing to multiply yet. (Written once: the code is long, and has to fit where it is run from.)
    int turn = 0;
    for (int k = k_first - BK; k < k_end; k += BK, turn ^= 1) {
        bool more = k + BK < k_end;
        if (more) {
            slice_a.fetch(k + BK);
            slice_b.fetch(k + BK);
        }
        if (k >= k_first) multiply<BM, STRIDED>(acc, tiles.in.a[turn], tiles.in.b[turn], row, column);
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
            for (int half = 0; half < 2; half++) {
                float pair[2] = {acc[i][j][2 * half], acc[i][j][2 * half + 1]};
                float* to = &tiles.out[row + 16 * i + lane / 4 + half * 8][column + 8 * j + lane % 4 * 2];
                *reinterpret_cast<Numbers<2>*>(to) = as_numbers(pair);
            }
        }
    }
    __syncthreads();
}

// How the threads of a tile share its columns out when they take it from `tiles.out`: W columns each, and ROWS rows.
template <int BM, int W>
struct Team {
    static constexpr int TEAMS = 2 * BM * W / BN, ROWS = BM / TEAMS;
    int column, team;

    __device__ Team() : column(threadIdx.x % (BN / W) * W), team(threadIdx.x / (BN / W)) {}
    __device__ int row(int r) const { return r * TEAMS + team; }

    // The total of each column over the teams, in its thread. All threads call it.
    template <class T>
    __device__ T total(const T (&v)[W]) const {
        return ::total<TEAMS, BN>(v, team, column);
    }
};
