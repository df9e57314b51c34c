// Squeeze-excite: two small layers per image between the pooled map and the gate that consumers multiply with. A block has an
// image; a warp makes one sum at a time.

struct Gate {
    const float* w1; // [r, c]
    const float* b1;
    const float* w2; // [c, r]
    const float* b2;
    float* pooled;     // [n, c]
    float* hidden;     // [n, r]: before its bias; backward, its gradient
    float* hidden_act; // [n, r]
    float* raw;        // [n, c]: before its bias; backward, its gradient
    float* gate;       // [n, c]
    float* sums;       // [n, 5, c]
    float* pooled_grad; // [n, c]
    float* norm_sums;   // [n, 2, c]
    int c, r;
    int act, gate_act;
    float share; // 1 / pixels
    int pad;
};

KERNEL(gate_forward, Gate, 256) {
    int c = args.c, r = args.r, lane = threadIdx.x % 32;
    size_t image = blockIdx.x;
    const float* pooled = args.pooled + image * c;
    float* hidden_act = args.hidden_act + image * r;
    for (int j = threadIdx.x / 32; j < r; j += blockDim.x / 32) {
        float sum = 0.0f;
        for (int i = lane; i < c; i += 32) sum += args.w1[(size_t)j * c + i] * pooled[i];
        sum = warp_sum(sum);
        if (lane) continue;
        args.hidden[image * r + j] = sum;
        hidden_act[j] = activate(args.act, sum + args.b1[j]);
    }
    __syncthreads();
    for (int i = threadIdx.x; i < c; i += blockDim.x) {
        float sum = 0.0f;
        for (int j = 0; j < r; j++) sum += args.w2[(size_t)i * r + j] * hidden_act[j];
        args.raw[image * c + i] = sum;
        args.gate[image * c + i] = activate(args.gate_act, sum + args.b2[i]);
    }
}

KERNEL(gate_backward, Gate, 256) {
    int c = args.c, r = args.r, lane = threadIdx.x % 32;
    size_t image = blockIdx.x;
    const float* sums = args.sums + image * 5 * c;
    float* raw = args.raw + image * c;
    float* hidden = args.hidden + image * r;
    for (int i = threadIdx.x; i < c; i += blockDim.x) raw[i] = sums[i] * slope(args.gate_act, raw[i] + args.b2[i]);
    __syncthreads();
    for (int j = threadIdx.x / 32; j < r; j += blockDim.x / 32) {
        float sum = 0.0f;
        for (int i = lane; i < c; i += 32) sum += raw[i] * args.w2[(size_t)i * r + j];
        sum = warp_sum(sum);
        if (lane == 0) hidden[j] = sum * slope(args.act, hidden[j] + args.b1[j]);
    }
    __syncthreads();
    for (int i = threadIdx.x; i < c; i += blockDim.x) {
        float sum = 0.0f;
        for (int j = 0; j < r; j++) sum += hidden[j] * args.w1[(size_t)j * c + i];
        float pooled = sum * args.share, gate = args.gate[image * c + i];
        args.pooled_grad[image * c + i] = pooled;
        float* norm = args.norm_sums + image * 2 * c + i;
        norm[0] = gate * sums[c + i] + pooled * sums[2 * c + i];
        norm[c] = gate * sums[3 * c + i] + pooled * sums[4 * c + i];
    }
}

// The gradient of a small layer: weight[out, in] = sum over images of dy[out] x[in], bias[out] = that of dy.
struct Outer {
    const float* dy; // [n, out]
    const float* x;  // [n, in]
    float* weight;
    float* bias;
    int n, out, in;
    int pad;
};

KERNEL(outer, Outer, 256) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= args.out * args.in) return;
    int o = i / args.in, ch = i % args.in;
    float sum = 0.0f, bias = 0.0f;
    for (int image = 0; image < args.n; image++) {
        float dy = args.dy[(size_t)image * args.out + o];
        sum += dy * args.x[(size_t)image * args.in + ch];
        bias += dy;
    }
    args.weight[i] = sum;
    if (ch == 0) args.bias[o] = bias;
}
