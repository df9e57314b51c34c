// What the threads of a block do together: reading ahead, sums over rows, and the moments of a batch.

// Uses what lies at from, from + step, ... below `to`, in this order; AHEAD of them are on their way at a time.
template <int AHEAD, class Load, class Use>
__device__ inline void stream(int from, int to, int step, Load load, Use use) {
    for (int i = from; i < to; i += AHEAD * step) {
        decltype(load(i)) parts[AHEAD];
#pragma unroll
        for (int j = 0; j < AHEAD; j++) {
            if (i + j * step < to) parts[j] = load(i + j * step);
        }
#pragma unroll
        for (int j = 0; j < AHEAD; j++) {
            if (i + j * step < to) use(i + j * step, parts[j]);
        }
    }
}

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

__device__ inline void add(float& sum, float more) { sum += more; }
__device__ inline void add(Moments& moments, const Moments& more) { moments.add(more); }

// The totals of C channels over groups of threads that have W of them each, from `first` on: that of channel i in thread i, which
// is there for every channel. All threads call it.
template <int GROUPS, int C, class T, int W>
__device__ inline T total(const T (&v)[W], int group, int first) {
    __shared__ T shares[GROUPS][C];
    __syncthreads();
    for (int j = 0; j < W; j++) shares[group][first + j] = v[j];
    __syncthreads();
    T all = {};
    if (threadIdx.x < C) {
        for (int g = 0; g < GROUPS; g++) add(all, shares[g][threadIdx.x]);
    }
    return all;
}

// Leaves a block's moments of channel `ch` in [blocks, 3, c], or its sums (see `Target`) in [blocks, 2, c].
__device__ inline void leave(float* moments, int block, int c, int ch, const Moments& all) {
    float* to = moments + (size_t)block * 3 * c + ch;
    to[0] = all.rows;
    to[c] = all.mean;
    to[2 * c] = all.square;
}

__device__ inline void leave(float* sums, int block, int c, int ch, float sum, float dot) {
    float* to = sums + (size_t)block * 2 * c + ch;
    to[0] = sum;
    to[c] = dot;
}

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

// The totals over the groups: that of channel i in thread i. All threads call it.
template <class T, int W>
__device__ inline T group_total(const T (&v)[W]) {
    Lane<W> lane;
    return total<Lane<W>::GROUPS, LANES>(v, lane.group, lane.first);
}

// Sums of `term(k, column)` over k below `len` for the 32 columns from `first` on that are below `columns`: in thread i that of
// column first + i. All threads call it.
template <class Term>
__device__ inline float column_sum(int first, int columns, int len, Term term) {
    Lane<1> lane;
    int column = first + lane.first;
    float sum = 0.0f;
    auto at = [&](int k) { return term(k, column); };
    if (column < columns) stream<8>(lane.group, len, lane.GROUPS, at, [&](int, float v) { sum += v; });
    return group_total({sum});
}

// The sum over the products of two vectors, by a warp.
__device__ inline float warp_dot(const float* a, const float* b, int len) {
    float sum = 0.0f;
    stream<4>(threadIdx.x % 32, len, 32, [&](int i) { return a[i] * b[i]; }, [&](int, float v) { sum += v; });
    return warp_sum(sum);
}

// Rows of weights that a block takes, one for each warp.
constexpr int WARPS = BLOCK / 32;
__device__ inline int warp_row() { return blockIdx.x * WARPS + threadIdx.x / 32; }
