// Batch-norm between its neighbours: blocks leave shares of its sums, and these kernels make of them the vectors that
// everyone else reads.

struct NormForward {
    const float* moments; // [blocks, 3, c]: rows, their mean, the sum of squares about it
    const float* weight;
    const float* bias;
    float* running_mean;
    float* running_var;
    float* mean;
    float* inv_std;
    float* scale;
    float* shift;
    double* shared; // [2 c + 1]: sums over several GPUs
    int blocks, c;
    float eps, momentum;
};

// A block has 8 channels side by side, and 32 threads for each; thread 8 j + i holds share j of channel i.
constexpr int NORM_LANES = 8, NORM_SHARES = 32;

// This thread's channel and share.
__device__ inline int norm_channel() { return blockIdx.x * NORM_LANES + threadIdx.x % NORM_LANES; }
__device__ inline int norm_share() { return threadIdx.x / NORM_LANES; }

// Sums over the threads of a channel, in all of them.
template <int N>
__device__ inline void share_sums(double (&v)[N]) {
    __shared__ double shares[N][NORM_SHARES][NORM_LANES];
    int lane = threadIdx.x % NORM_LANES;
    for (int n = 0; n < N; n++) shares[n][norm_share()][lane] = v[n];
    __syncthreads();
    for (int n = 0; n < N; n++) {
        v[n] = 0.0;
        for (int j = 0; j < NORM_SHARES; j++) v[n] += shares[n][j][lane];
    }
}

// What a batch came to in one channel.
struct BatchMoments {
    double rows, mean, square; // the sum of squares about the mean
};

// In double precision squares about zero, less that of the mean, are exact enough.
__device__ inline BatchMoments norm_moments(const NormForward& args) {
    int c = args.c, ch = norm_channel();
    double v[3] = {}; // rows, sum, sum of squares
    auto at = [&](int b) {
        const float* m = args.moments + (size_t)b * 3 * c + ch;
        return Moments{m[0], m[c], m[2 * c]};
    };
    auto use = [&](int, const Moments& m) {
        double rows = m.rows, mean = m.mean;
        v[0] += rows;
        v[1] += rows * mean;
        v[2] += m.square + rows * mean * mean;
    };
    if (ch < c) stream<8>(norm_share(), args.blocks, NORM_SHARES, at, use);
    share_sums(v);
    double rows = v[0] > 0.0 ? v[0] : 1.0, mean = v[1] / rows;
    return BatchMoments{v[0], mean, max(v[2] - v[1] * mean, 0.0)};
}

__device__ inline void norm_settle(const NormForward& args, int ch, const BatchMoments& m) {
    double var = m.square / m.rows, inv_std = 1.0 / sqrt(var + args.eps), scale = args.weight[ch] * inv_std;
    args.mean[ch] = (float)m.mean;
    args.inv_std[ch] = (float)inv_std;
    args.scale[ch] = (float)scale;
    args.shift[ch] = (float)(args.bias[ch] - m.mean * scale);
    double unbiased = m.rows > 1.0 ? m.square / (m.rows - 1.0) : var, momentum = args.momentum;
    args.running_mean[ch] = (float)(args.running_mean[ch] * (1.0 - momentum) + m.mean * momentum);
    args.running_var[ch] = (float)(args.running_var[ch] * (1.0 - momentum) + unbiased * momentum);
}

KERNEL(norm_forward, NormForward, 256) {
    int ch = norm_channel();
    BatchMoments m = norm_moments(args);
    if (ch < args.c && norm_share() == 0) norm_settle(args, ch, m);
}

// The same over the batches of several GPUs: what is to be summed, about the running means, which all have in common; and what
// becomes of the sums.
KERNEL(norm_forward_here, NormForward, 256) {
    int ch = norm_channel(), c = args.c;
    BatchMoments m = norm_moments(args);
    if (ch >= c || norm_share()) return;
    double d = m.mean - args.running_mean[ch];
    args.shared[ch] = m.rows * d;
    args.shared[c + ch] = m.square + m.rows * d * d;
    if (ch == 0) args.shared[2 * c] = m.rows;
}

KERNEL(norm_forward_all, NormForward, 256) {
    int ch = blockIdx.x * blockDim.x + threadIdx.x, c = args.c;
    if (ch >= c) return;
    double rows = args.shared[2 * c], sum = args.shared[ch], d = sum / rows;
    norm_settle(args, ch, BatchMoments{rows, args.running_mean[ch] + d, args.shared[c + ch] - sum * d});
}

// The same vectors from running statistics, for inference.
KERNEL(norm_running, NormForward, 256) {
    int ch = blockIdx.x * blockDim.x + threadIdx.x;
    if (ch >= args.c) return;
    double scale = args.weight[ch] / sqrt((double)args.running_var[ch] + args.eps);
    args.scale[ch] = (float)scale;
    args.shift[ch] = (float)(args.bias[ch] - args.running_mean[ch] * scale);
}

struct NormBackward {
    const float* sums; // [blocks, 2, c]: of d and of d * (y - mean)
    const float* weight;
    const float* inv_std;
    const float* mean;
    float* weight_gradient;
    float* bias_gradient;
    float* a;
    float* b;
    float* k;
    double* shared; // [2 c + 1]: sums over several GPUs
    int blocks, c;
    int rows;
    int pad;
};

// The sums of a channel, of which its parameters' gradients are made.
__device__ inline void norm_sums(const NormBackward& args, double& sum, double& dot) {
    int c = args.c, ch = norm_channel();
    double v[2] = {};
    auto at = [&](int b) {
        const float* s = args.sums + (size_t)b * 2 * c + ch;
        return Numbers<2>{s[0], s[c]};
    };
    auto use = [&](int, const Numbers<2>& s) {
        v[0] += s.v[0];
        v[1] += s.v[1];
    };
    if (ch < c) stream<8>(norm_share(), args.blocks, NORM_SHARES, at, use);
    share_sums(v);
    sum = v[0];
    dot = v[1];
    if (ch >= c || norm_share()) return;
    args.weight_gradient[ch] = (float)(dot * args.inv_std[ch]);
    args.bias_gradient[ch] = (float)sum;
}

__device__ inline void norm_coefficients(const NormBackward& args, int ch, double sum, double dot, double rows) {
    double inv_std = args.inv_std[ch], a = args.weight[ch] * inv_std, b = -a * inv_std * inv_std * dot / rows;
    args.a[ch] = (float)a;
    args.b[ch] = (float)b;
    args.k[ch] = (float)(-a * sum / rows - b * args.mean[ch]);
}

KERNEL(norm_backward, NormBackward, 256) {
    int ch = norm_channel();
    double sum, dot;
    norm_sums(args, sum, dot);
    if (ch < args.c && norm_share() == 0) norm_coefficients(args, ch, sum, dot, args.rows);
}

// The same over the batches of several GPUs; parameters get the gradient of this one's.
KERNEL(norm_backward_here, NormBackward, 256) {
    int ch = norm_channel(), c = args.c;
    double sum, dot;
    norm_sums(args, sum, dot);
    if (ch >= c || norm_share()) return;
    args.shared[ch] = sum;
    args.shared[c + ch] = dot;
    if (ch == 0) args.shared[2 * c] = args.rows;
}

KERNEL(norm_backward_all, NormBackward, 256) {
    int ch = blockIdx.x * blockDim.x + threadIdx.x, c = args.c;
    if (ch < c) norm_coefficients(args, ch, args.shared[ch], args.shared[c + ch], args.shared[2 * c]);
}

// Finishes a gradient that others have written (see `Target`): 32 channels and a share of the rows for each block.
struct Finish {
    Target target;
    int rows, c;
};

template <int W>
__device__ inline void finish(const Finish& args) {
    Lane<W> lane;
    int ch = blockIdx.x * LANES + lane.first;
    bool inside = ch < args.c;
    Target target = args.target;
    target.accumulate = 1;
    Finished<W> finished(target, inside, ch);
    typedef typename Finished<W>::Parts Parts;
    auto place = [&](int row) { return (size_t)row * args.c + ch; };
    auto at = [&](int row) { return Finished<W>::fetch(target, place(row)); };
    auto use = [&](int row, const Parts& parts) {
        float none[W];
        fill(none, 0.0f);
        finished.put(target, place(row), parts, none);
    };
    if (inside) stream<2>(blockIdx.y * lane.GROUPS + lane.group, args.rows, gridDim.y * lane.GROUPS, at, use);
    float sum = group_total(finished.sum), dot = group_total(finished.dot);
    ch = blockIdx.x * LANES + threadIdx.x;
    if (threadIdx.x < LANES && ch < args.c) leave(target.sums, blockIdx.y, args.c, ch, sum, dot);
}

KERNEL(finish, Finish, 256) { finish<1>(args); }
KERNEL(finish_wide, Finish, 256) { finish<VECTOR>(args); }

// For a gated value a * gate with d the gradient of the product: per image and channel the sums over pixels of d a, d act',
// act', d act' (y - mean) and act' (y - mean). The gate's gradient and batch-norm's sums follow from these.
struct FinishGated {
    Target target; // its sums are [images, 5, c]
    int pixels, c;
};

template <int W>
__device__ inline void finish_gated(const FinishGated& args) {
    Lane<W> lane;
    int ch = blockIdx.x * LANES + lane.first, image = blockIdx.y;
    const Target& t = args.target;
    float s[5][W] = {};
    if (ch < args.c) {
        float scale[W], shift[W], mean[W];
        numbers(t.scale + ch, scale);
        numbers(t.shift + ch, shift);
        numbers(t.mean + ch, mean);
        struct Parts {
            Chunk<W> d, y;
        };
        auto at = [&](int row) {
            size_t i = ((size_t)image * args.pixels + row) * args.c + ch;
            return Parts{chunk_at<W>(t.d + i), chunk_at<W>(t.y + i)};
        };
        auto use = [&](int, const Parts& parts) {
            float d[W], y[W], value[W], rise[W];
            load(parts.d, d);
            load(parts.y, y);
            for (int j = 0; j < W; j++) value[j] = rise[j] = y[j] * scale[j] + shift[j];
            activate(t.act, value);
            slope(t.act, rise);
            for (int j = 0; j < W; j++) {
                s[0][j] += d[j] * value[j];
                s[1][j] += d[j] * rise[j];
                s[2][j] += rise[j];
                s[3][j] += d[j] * rise[j] * (y[j] - mean[j]);
                s[4][j] += rise[j] * (y[j] - mean[j]);
            }
        };
        stream<2>(lane.group, args.pixels, lane.GROUPS, at, use);
    }
    ch = blockIdx.x * LANES + threadIdx.x;
    for (int j = 0; j < 5; j++) {
        float sum = group_total(s[j]);
        if (threadIdx.x < LANES && ch < args.c) t.sums[((size_t)image * 5 + j) * args.c + ch] = sum;
    }
}

KERNEL(finish_gated, FinishGated, 256) { finish_gated<1>(args); }
KERNEL(finish_gated_wide, FinishGated, 256) { finish_gated<VECTOR>(args); }
