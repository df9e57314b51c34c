// Stages that move whole values: sums with stochastic depth, pooling, PReLU, dropout; and what comes from outside.

// Element `i` of a map as its view shows it.
__device__ inline float see(const View& view, int i, int len) {
    float v[1];
    load<1>(view, i, i / len, i % view.c, v);
    return v[0];
}

// One map becomes another, or its gradient becomes that of the other.
struct Join {
    View a;         // the input; of a sum, the branch
    View b;         // of a sum, the shortcut
    Map out;        // the output, or its gradient
    Target target;  // backward: of `a`
    const u64* seed;
    const float* slope; // of a PReLU
    float* shares;      // of the slope's gradient, one for each block
    u64 key;
    float p; // probability of dropping
    int len; // of one image
    int count; // of all images
    int pixels; // of one image's input
};

__device__ inline int join_index() { return blockIdx.x * blockDim.x + threadIdx.x; }

// Gradients of values are finished by a kernel of their own after these.
template <int W>
__device__ inline void give(const Target& t, size_t i, float (&d)[W]) {
    if (t.accumulate) {
        float before[W];
        load(chunk_at<W>(t.d + i), before);
        for (int j = 0; j < W; j++) d[j] += before[j];
    }
    store<W>(t.d + i, d);
}

__device__ inline void give(const Target& t, size_t i, float d) {
    float one[1] = {d};
    give(t, i, one);
}

// With what a branch is multiplied that is dropped with probability p.
__device__ inline float branch_factor(const Join& args, int image) {
    return args.p > 0.0f ? keep(*args.seed, args.key << 32 | image, 0, args.p) : 1.0f;
}

template <int W>
__device__ inline void add_forward(const Join& args) {
    int i = join_index() * W, image = i / args.len, ch = i % args.a.c;
    if (i >= args.count) return;
    float factor = branch_factor(args, image), v[W];
    load(args.b, i, image, ch, v);
    if (factor != 0.0f) {
        float branch[W];
        load(args.a, i, image, ch, branch);
        for (int j = 0; j < W; j++) v[j] += factor * branch[j];
    }
    put(args.out, i, v);
}

KERNEL(add_forward, Join, 256) { add_forward<1>(args); }
KERNEL(add_forward_wide, Join, 256) { add_forward<VECTOR>(args); }

// The gradient of the branch, or with p = 0 that of the shortcut.
template <int W>
__device__ inline void add_backward(const Join& args) {
    int i = join_index() * W;
    if (i >= args.count) return;
    float factor = branch_factor(args, i / args.len), d[W];
    GradientParts<W> parts;
    parts.fetch(args.out, i);
    for (int j = 0; j < W; j++) d[j] = factor * parts.get(j);
    give(args.target, i, d);
}

KERNEL(add_backward, Join, 256) { add_backward<1>(args); }
KERNEL(add_backward_wide, Join, 256) { add_backward<VECTOR>(args); }

template <int W>
__device__ inline void pool_forward(const Join& args) {
    Lane<W> lane;
    int c = args.a.c, ch = blockIdx.x * LANES + lane.first, image = blockIdx.y;
    float sum[W];
    fill(sum, 0.0f);
    if (ch < c) {
        Seen<W> seen(args.a, image, ch);
        auto at = [&](int row) { return chunk_at<W>(args.a.value + ((size_t)image * args.pixels + row) * c + ch); };
        auto use = [&](int, const Chunk<W>& chunk) {
            float v[W];
            load(chunk, v);
            seen.apply(v);
            for (int j = 0; j < W; j++) sum[j] += v[j];
        };
        stream<4>(lane.group, args.pixels, lane.GROUPS, at, use);
    }
    float all = group_total(sum);
    ch = blockIdx.x * LANES + threadIdx.x;
    if (threadIdx.x < LANES && ch < c) put(args.out, (size_t)image * c + ch, all / args.pixels);
}

KERNEL(pool_forward, Join, 256) { pool_forward<1>(args); }
KERNEL(pool_forward_wide, Join, 256) { pool_forward<VECTOR>(args); }

KERNEL(pool_backward, Join, 256) {
    int i = join_index();
    if (i >= args.count) return;
    int c = args.a.c;
    give(args.target, i, get(args.out, (size_t)(i / (args.pixels * c)) * c + i % c) / args.pixels);
}

KERNEL(prelu_forward, Join, 256) {
    int i = join_index();
    if (i >= args.count) return;
    float v = see(args.a, i, args.len);
    put(args.out, i, v > 0.0f ? v : *args.slope * v);
}

// The sum over a block, in the first thread.
__device__ inline float block_sum(float v) {
    __shared__ float shares[8];
    v = warp_sum(v);
    __syncthreads();
    if (threadIdx.x % 32 == 0) shares[threadIdx.x / 32] = v;
    __syncthreads();
    float sum = 0.0f;
    for (int w = 0; w < 8; w++) sum += shares[w];
    return sum;
}

KERNEL(prelu_backward, Join, 256) {
    int i = join_index();
    float share = 0.0f;
    if (i < args.count) {
        float x = see(args.a, i, args.len), d = get(args.out, i);
        give(args.target, i, x > 0.0f ? d : *args.slope * d);
        share = x > 0.0f ? 0.0f : d * x;
    }
    share = block_sum(share);
    if (threadIdx.x == 0) args.shares[blockIdx.x] = share;
}

KERNEL(dropout_forward, Join, 256) {
    int i = join_index();
    if (i >= args.count) return;
    float factor = keep(*args.seed, args.key << 32 | (i / args.len), i % args.len, args.p);
    put(args.out, i, see(args.a, i, args.len) * factor);
}

KERNEL(dropout_backward, Join, 256) {
    int i = join_index();
    if (i >= args.count) return;
    float factor = keep(*args.seed, args.key << 32 | (i / args.len), i % args.len, args.p);
    give(args.target, i, factor * get(args.out, i));
}
