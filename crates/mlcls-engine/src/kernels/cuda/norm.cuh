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

// The sum over 32 threads of a channel; a block has 8 channels, and thread 32 i + j holds share j of channel i.
__device__ inline double share_sum(double v) {
    __shared__ double shares[256];
    __syncthreads();
    shares[threadIdx.x] = v;
    __syncthreads();
    double sum = 0.0;
    for (int j = 0; j < 32; j++) sum += shares[threadIdx.x / 32 * 32 + j];
    return sum;
}

// What a batch came to in one channel.
struct Moments {
    double rows, mean, square; // the sum of squares about the mean
};

__device__ inline Moments norm_moments(const NormForward& args, int lane, int ch) {
    int c = args.c;
    bool inside = ch < c;
    double rows = 0.0, sum = 0.0;
    for (int b = lane; inside && b < args.blocks; b += 32) {
        const float* m = args.moments + (size_t)b * 3 * c + ch;
        rows += m[0];
        sum += (double)m[0] * m[c];
    }
    rows = share_sum(rows);
    double mean = share_sum(sum) / (rows > 0.0 ? rows : 1.0), square = 0.0;
    for (int b = lane; inside && b < args.blocks; b += 32) {
        const float* m = args.moments + (size_t)b * 3 * c + ch;
        double d = m[c] - mean;
        square += m[2 * c] + m[0] * d * d;
    }
    return Moments{rows, mean, share_sum(square)};
}

__device__ inline void norm_settle(const NormForward& args, int ch, const Moments& m) {
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
    int lane = threadIdx.x % 32, ch = blockIdx.x * 8 + threadIdx.x / 32;
    Moments m = norm_moments(args, lane, ch);
    if (ch < args.c && lane == 0) norm_settle(args, ch, m);
}

// The same over the batches of several GPUs: what is to be summed, about the running means, which all have in common; and what
// becomes of the sums.
KERNEL(norm_forward_here, NormForward, 256) {
    int lane = threadIdx.x % 32, ch = blockIdx.x * 8 + threadIdx.x / 32, c = args.c;
    Moments m = norm_moments(args, lane, ch);
    if (ch >= c || lane) return;
    double d = m.mean - args.running_mean[ch];
    args.shared[ch] = m.rows * d;
    args.shared[c + ch] = m.square + m.rows * d * d;
    if (ch == 0) args.shared[2 * c] = m.rows;
}

KERNEL(norm_forward_all, NormForward, 256) {
    int ch = blockIdx.x * blockDim.x + threadIdx.x, c = args.c;
    if (ch >= c) return;
    double rows = args.shared[2 * c], sum = args.shared[ch], d = sum / rows;
    norm_settle(args, ch, Moments{rows, args.running_mean[ch] + d, args.shared[c + ch] - sum * d});
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
__device__ inline void norm_sums(const NormBackward& args, int lane, int ch, double& sum, double& dot) {
    int c = args.c;
    bool inside = ch < c;
    sum = dot = 0.0;
    for (int b = lane; inside && b < args.blocks; b += 32) {
        const float* s = args.sums + (size_t)b * 2 * c + ch;
        sum += s[0];
        dot += s[c];
    }
    sum = share_sum(sum);
    dot = share_sum(dot);
    if (!inside || lane) return;
    args.weight_gradient[ch] = (float)(dot * args.inv_std[ch]);
    args.bias_gradient[ch] = (float)sum;
}

__device__ inline void norm_coefficients(const NormBackward& args, int ch, double sum, double dot, double rows) {
    double inv_std = args.inv_std[ch], a = args.weight[ch] * inv_std;
    args.a[ch] = (float)a;
    args.b[ch] = (float)(-a * inv_std * inv_std * dot / rows);
    args.k[ch] = (float)(-a * sum / rows);
}

KERNEL(norm_backward, NormBackward, 256) {
    int lane = threadIdx.x % 32, ch = blockIdx.x * 8 + threadIdx.x / 32;
    double sum, dot;
    norm_sums(args, lane, ch, sum, dot);
    if (ch < args.c && lane == 0) norm_coefficients(args, ch, sum, dot, args.rows);
}

// The same over the batches of several GPUs; parameters get the gradient of this one's.
KERNEL(norm_backward_here, NormBackward, 256) {
    int lane = threadIdx.x % 32, ch = blockIdx.x * 8 + threadIdx.x / 32, c = args.c;
    double sum, dot;
    norm_sums(args, lane, ch, sum, dot);
    if (ch >= c || lane) return;
    args.shared[ch] = sum;
    args.shared[c + ch] = dot;
    if (ch == 0) args.shared[2 * c] = args.rows;
}

KERNEL(norm_backward_all, NormBackward, 256) {
    int ch = blockIdx.x * blockDim.x + threadIdx.x, c = args.c;
    if (ch < c) norm_coefficients(args, ch, args.shared[ch], args.shared[c + ch], args.shared[2 * c]);
}

// Finishes a gradient that others have written (see `Target`): 64 channels and a share of the rows for each block.
struct Finish {
    Target target;
    int rows, c;
};

KERNEL(finish, Finish, 256) {
    int column = threadIdx.x % BN, group = threadIdx.x / BN, ch = blockIdx.x * BN + column;
    Target target = args.target;
    target.accumulate = 1;
    float sum = 0.0f, dot = 0.0f;
    if (ch < args.c) {
        for (int r = blockIdx.y * 4 + group; r < args.rows; r += gridDim.y * 4) {
            float z = 0.0f;
            float d = put(target, (size_t)r * args.c + ch, ch, 0.0f, z);
            sum += d;
            dot += d * z;
        }
    }
    sum = column_sum<4>(sum, column, group);
    dot = column_sum<4>(dot, column, group);
    if (ch >= args.c || group) return;
    float* sums = target.sums + (size_t)blockIdx.y * 2 * args.c + ch;
    sums[0] = sum;
    sums[args.c] = dot;
}

// For a gated value a * gate with d the gradient of the product: per image and channel the sums over pixels of d a, d act',
// act', d act' (y - mean) and act' (y - mean). The gate's gradient and batch-norm's sums follow from these.
struct FinishGated {
    Target target; // its sums are [images, 5, c]
    int pixels, c;
};

KERNEL(finish_gated, FinishGated, 256) {
    int lane = threadIdx.x % LANES, group = threadIdx.x / LANES, ch = blockIdx.x * LANES + lane, image = blockIdx.y;
    const Target& t = args.target;
    float s[5] = {};
    if (ch < args.c) {
        float scale = t.scale[ch], shift = t.shift[ch], mean = t.mean[ch];
        for (int r = group; r < args.pixels; r += GROUPS) {
            size_t i = ((size_t)image * args.pixels + r) * args.c + ch;
            float d = get(t.d[i]), y = get(t.y[i]), z = y * scale + shift, rise = slope(t.act, z);
            s[0] += d * activate(t.act, z);
            s[1] += d * rise;
            s[2] += rise;
            s[3] += d * rise * (y - mean);
            s[4] += rise * (y - mean);
        }
    }
    for (int j = 0; j < 5; j++) {
        float sum = group_sum(s[j]);
        if (ch < args.c && group == 0) t.sums[((size_t)image * 5 + j) * args.c + ch] = sum;
    }
}
