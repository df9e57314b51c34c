// What the threads of a block come to together: sums over rows, and the moments of a batch.

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
