// Squeeze-excite: two small layers per image between the pooled map and the gate that consumers multiply with. Sums along rows of
// weights are warps', sums down their columns blocks': either way neighbours in a warp read neighbours. `blockIdx.y` is the image.

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
    int n;
};

// A layer: act(weight x + bias) and, in `raw`, weight x.
__device__ inline void layer(const float* weight, const float* bias, int act, const float* x, int in, int out, float* raw,
                             float* value) {
    int row = warp_row();
    if (row >= out) return;
    float sum = warp_dot(weight + (size_t)row * in, x + (size_t)blockIdx.y * in, in);
    if (threadIdx.x % 32) return;
    size_t at = (size_t)blockIdx.y * out + row;
    raw[at] = sum;
    value[at] = activate(act, sum + bias[row]);
}

KERNEL(gate_hidden, Gate, 256) {
    layer(args.w1, args.b1, args.act, args.pooled, args.c, args.r, args.hidden, args.hidden_act);
}

KERNEL(gate_forward, Gate, 256) {
    layer(args.w2, args.b2, args.gate_act, args.hidden_act, args.r, args.c, args.raw, args.gate);
}

// Backward: the gradient before the gate's activation, before the first layer's, and of the pooled map.
KERNEL(gate_raw, Gate, 256) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= args.n * args.c) return;
    int image = i / args.c, ch = i % args.c;
    args.raw[i] = args.sums[(size_t)image * 5 * args.c + ch] * slope(args.gate_act, args.raw[i] + args.b2[ch]);
}

KERNEL(gate_hidden_backward, Gate, 256) {
    const float* raw = args.raw + (size_t)blockIdx.y * args.c;
    int first = blockIdx.x * LANES, j = first + threadIdx.x;
    float sum = column_sum(first, args.r, args.c, [&](int i, int j) { return raw[i] * args.w2[(size_t)i * args.r + j]; });
    if (threadIdx.x >= LANES || j >= args.r) return;
    float* hidden = args.hidden + (size_t)blockIdx.y * args.r + j;
    *hidden = sum * slope(args.act, *hidden + args.b1[j]);
}

KERNEL(gate_backward, Gate, 256) {
    int c = args.c, first = blockIdx.x * LANES, i = first + threadIdx.x;
    size_t image = blockIdx.y;
    const float* hidden = args.hidden + image * args.r;
    float sum = column_sum(first, c, args.r, [&](int j, int i) { return hidden[j] * args.w1[(size_t)j * c + i]; });
    if (threadIdx.x >= LANES || i >= c) return;
    const float* sums = args.sums + image * 5 * c + i;
    float pooled = sum * args.share, gate = args.gate[image * c + i];
    args.pooled_grad[image * c + i] = pooled;
    float* norm = args.norm_sums + image * 2 * c + i;
    norm[0] = gate * sums[c] + pooled * sums[2 * c];
    norm[c] = gate * sums[3 * c] + pooled * sums[4 * c];
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

// Rows of the weight that a block has, so that each x is read for all of them.
constexpr int OUTER_ROWS = 4;

KERNEL(outer, Outer, 256) {
    Lane<1> lane;
    int ch = blockIdx.x * LANES + lane.first, first = blockIdx.y * OUTER_ROWS;
    float sum[OUTER_ROWS] = {}, bias[OUTER_ROWS] = {};
    struct Parts {
        float x, dy[OUTER_ROWS];
    };
    auto at = [&](int image) {
        Parts parts = {};
        if (ch < args.in) parts.x = args.x[(size_t)image * args.in + ch];
#pragma unroll
        for (int r = 0; r < OUTER_ROWS; r++) {
            if (first + r < args.out) parts.dy[r] = args.dy[(size_t)image * args.out + first + r];
        }
        return parts;
    };
    auto use = [&](int, const Parts& parts) {
#pragma unroll
        for (int r = 0; r < OUTER_ROWS; r++) {
            sum[r] += parts.dy[r] * parts.x;
            bias[r] += parts.dy[r];
        }
    };
    stream<2>(lane.group, args.n, lane.GROUPS, at, use);
#pragma unroll
    for (int r = 0; r < OUTER_ROWS; r++) {
        float weight = group_total({sum[r]}), all = group_total({bias[r]});
        if (first + r >= args.out || threadIdx.x >= LANES) continue;
        if (ch < args.in) args.weight[(size_t)(first + r) * args.in + ch] = weight;
        if (ch == 0) args.bias[first + r] = all;
    }
}
