// How weights follow gradients: passes over the flat vectors. What changes from step to step lies in `StepNumbers`.

struct StepNumbers {
    double norm;       // of the latest gradient
    float rate;        // learning rate; for AdamW over 1 - beta1^t
    float root;        // for AdamW sqrt(1 - beta2^t)
    float decay_rate;  // for AdamW the learning rate itself, which its decay goes by
    float average;     // share of the new weights in their average
};

struct Update {
    float* w;
    float* saved;   // the weights before SAM moved them, or null
    float* g;       // the gradient
    float* sum;     // the gradient over several batches
    float* first;   // velocity, or AdamW's mean
    float* second;  // AdamW's mean square
    float* average; // of the weights; or null
    const float* decay; // of each weight
    StepNumbers* numbers;
    double* shares; // of the norm, one for each block
    float momentum;
    float rest1, beta2, rest2, eps; // of AdamW: 1 - beta1, beta2, 1 - beta2
    float rho;
    float clip;    // no clipping: 0
    float unscale; // one over the loss's scale
    int len, from; // weights before `from` are frozen
    int nesterov;
    int pad;
};

__device__ inline int update_index() { return blockIdx.x * blockDim.x + threadIdx.x; }

// The gradient of the first batch of a step, where it is not the only one or its loss was scaled; then those of the others.
KERNEL(gradient_first, Update, 256) {
    int i = update_index();
    if (i < args.len) args.sum[i] = args.g[i] * args.unscale;
}

KERNEL(gradient_more, Update, 256) {
    int i = update_index();
    if (i < args.len) args.sum[i] += args.g[i] * args.unscale;
}

// The norm: every block's share, then their sum.
__device__ inline double block_sum(double v) {
    __shared__ double values[256];
    values[threadIdx.x] = v;
    for (int half = 128; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) values[threadIdx.x] += values[threadIdx.x + half];
    }
    __syncthreads();
    return values[0];
}

KERNEL(norm_shares, Update, 256) {
    double sum = 0.0;
    auto use = [&](int, float v) { sum += (double)v * v; };
    stream<8>(update_index(), args.len, gridDim.x * blockDim.x, [&](int i) { return args.sum[i]; }, use);
    sum = block_sum(sum);
    if (threadIdx.x == 0) args.shares[blockIdx.x] = sum;
}

KERNEL(norm_total, Update, 256) {
    double sum = block_sum(args.shares[threadIdx.x]);
    if (threadIdx.x == 0) args.numbers->norm = sqrt(sum);
}

// SAM: uphill along the gradient.
KERNEL(perturb, Update, 256) {
    int i = update_index();
    if (i >= args.len) return;
    float w = args.w[i], factor = (float)(args.rho / (args.numbers->norm + 1e-12));
    args.saved[i] = w;
    args.w[i] = w + factor * args.sum[i];
}

// The gradient as the step takes it, and the weight that the step starts from.
__device__ inline float step_gradient(const Update& args, int i, float& w) {
    w = args.saved ? args.saved[i] : args.w[i];
    float g = args.sum[i];
    if (args.clip > 0.0f) {
        double factor = args.clip / (args.numbers->norm + 1e-6);
        if (factor < 1.0) g *= (float)factor;
    }
    return g;
}

__device__ inline void step_weight(const Update& args, int i, float w) {
    args.w[i] = w;
    if (args.average) args.average[i] += args.numbers->average * (w - args.average[i]);
}

KERNEL(sgd, Update, 256) {
    int i = update_index();
    if (i >= args.len) return;
    float w, g = step_gradient(args, i, w);
    if (i >= args.from) {
        g += args.decay[i] * w;
        float v = args.momentum * args.first[i] + g;
        args.first[i] = v;
        w -= args.numbers->rate * (args.nesterov ? g + args.momentum * v : v);
    }
    step_weight(args, i, w);
}

KERNEL(adamw, Update, 256) {
    int i = update_index();
    if (i >= args.len) return;
    float w, g = step_gradient(args, i, w);
    if (i >= args.from) {
        float m = args.first[i], s = args.second[i];
        m += args.rest1 * (g - m);
        s = args.beta2 * s + args.rest2 * g * g;
        args.first[i] = m;
        args.second[i] = s;
        w = (1.0f - args.numbers->decay_rate * args.decay[i]) * w
            - args.numbers->rate * m / (sqrtf(s) / args.numbers->root + args.eps);
    }
    step_weight(args, i, w);
}

// The average of the running statistics.
struct Average {
    const float* values;
    float* average;
    const StepNumbers* numbers;
    int len;
    int pad;
};

KERNEL(average, Average, 256) {
    int i = update_index();
    if (i < args.len) args.average[i] += args.numbers->average * (args.values[i] - args.average[i]);
}

// The mean of running statistics over several GPUs, from their sum.
struct Mean {
    float* values;
    int len;
    float share;
};

KERNEL(mean, Mean, 256) {
    int i = update_index();
    if (i < args.len) args.values[i] *= args.share;
}
