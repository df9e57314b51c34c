// Convolutions over all channels: outputs, gradients of inputs and gradients of weights, each a product of two loaders.

// ---------------------------------------------------------------------------------------------------------------------------
// Weights: [out, in, taps] to [out, taps, in] for the forward pass and [in, taps, out] for the gradient of the input.

struct Pack {
    const float* weight;
    Store* forward;
    Store* backward; // null: no gradient is wanted
    int out, in, taps;
    int pad;
};

// All of them at once, each by a row of blocks.
struct Packs {
    const Pack* all;
};

KERNEL(conv_pack, Packs, 256) {
    const Pack p = args.all[blockIdx.y];
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < p.out * p.in * p.taps; i += gridDim.x * blockDim.x) {
        int o = i / (p.in * p.taps), ch = i / p.taps % p.in, tap = i % p.taps;
        Store v = put(p.weight[i]);
        p.forward[((size_t)o * p.taps + tap) * p.in + ch] = v;
        if (p.backward) p.backward[((size_t)ch * p.taps + tap) * p.out + o] = v;
    }
}

// ---------------------------------------------------------------------------------------------------------------------------
// Outputs.

struct ConvForward {
    View view;
    const u8* pixels; // or null
    const float* normalise; // scale [3] and shift [3] of pixels
    const Store* weight;
    const float* bias;
    Map out;
    float* moments; // [gridDim.x, 3, oc]: rows, their mean, and the sum of squares about it; or null
    Window win;
    int n; // images
    int pad;
};

// Tiles of BM rows are shared out among `gridDim.x` blocks, which leave the moments of all of theirs together; C columns at a
// time are written.
template <int BM, class Input, int W, int C>
__device__ inline void conv_forward(const ConvForward& args, const Input& input) {
    __shared__ Tiles<BM, false> tiles;
    int rows = args.n * args.win.oh * args.win.ow, columns = args.win.oc;
    int k = args.win.kernel * args.win.kernel * args.win.c;
    WeightRows<W> weights{args.weight, k};
    Team<BM, C> team;
    int n = blockIdx.y * BN, ch = n + team.column;
    bool inside = ch < columns;
    float bias[C];
    fill(bias, 0.0f);
    for (int j = 0; j < C && inside && args.bias; j++) bias[j] = args.bias[ch + j];
    Moments moments[C] = {};
    for (int m = blockIdx.x * BM; m < rows; m += gridDim.x * BM) {
        product<BM, false>(input, m, rows, weights, n, columns, 0, k, tiles);
        float v[Team<BM, C>::ROWS][C];
#pragma unroll
        for (int i = 0; i < Team<BM, C>::ROWS; i++) {
            int r = team.row(i);
            numbers(&tiles.out[r][team.column], v[i]);
            for (int j = 0; j < C; j++) v[i][j] += bias[j];
            if (inside && m + r < rows) put(args.out, (size_t)(m + r) * columns + ch, v[i]);
        }
        if (args.moments && inside) add_rows(moments, v, (rows - m - team.team + team.TEAMS - 1) / team.TEAMS);
        __syncthreads();
    }
    if (!args.moments) return;
    Moments all = team.total(moments);
    ch = n + threadIdx.x;
    if (threadIdx.x < BN && ch < columns) leave(args.moments, blockIdx.x, columns, ch, all);
}

#define CONV_FORWARD(BM, SUFFIX, W, C)                                                                                 \
    KERNEL(conv_forward_##BM##SUFFIX, ConvForward, 2 * BM) {                                                           \
        conv_forward<BM, Windows<W>, W, C>(args, Windows<W>{args.view, args.win});                                     \
    }
CONV_FORWARD(64, , 1, 1)
CONV_FORWARD(128, , 1, 1)
CONV_FORWARD(64, _wide, VECTOR, PAIR)
CONV_FORWARD(128, _wide, VECTOR, PAIR)

KERNEL(conv_forward_pixels, ConvForward, 128) {
    PixelWindows input{args.pixels, args.win, args.normalise, args.normalise + 3};
    conv_forward<64, PixelWindows, 1, 1>(args, input);
}

// ---------------------------------------------------------------------------------------------------------------------------
// Gradients of inputs.

struct ConvInput {
    Gradient g;
    const Store* weight; // [in, taps, out]
    Target target;
    Window win;
    int n; // images
    int pad;
};

template <int BM, int W, int C>
__device__ inline void conv_input(const ConvInput& args) {
    __shared__ Tiles<BM, false> tiles;
    int rows = args.n * args.win.h * args.win.w, columns = args.win.c;
    int k = args.win.kernel * args.win.kernel * args.win.oc;
    GradientWindows<W> input{args.g, args.win};
    WeightRows<W> weights{args.weight, k};
    Team<BM, C> team;
    int n = blockIdx.y * BN, ch = n + team.column;
    bool inside = ch < columns;
    typedef Finished<C> Target;
    float sum[C], dot[C];
    fill(sum, 0.0f);
    fill(dot, 0.0f);
    for (int m = blockIdx.x * BM; m < rows; m += gridDim.x * BM) {
        product<BM, false>(input, m, rows, weights, n, columns, 0, k, tiles);
        // For each tile anew, as its vectors would take registers from the product.
        Target finished(args.target, inside, ch);
        constexpr int STEP = 4; // rows on their way at a time
        for (int i = 0; i < Team<BM, C>::ROWS; i += STEP) {
            typename Target::Parts parts[STEP];
#pragma unroll
            for (int j = 0; j < STEP; j++) {
                int row = m + team.row(i + j);
                if (inside && row < rows) parts[j] = Target::fetch(args.target, (size_t)row * columns + ch);
            }
#pragma unroll
            for (int j = 0; j < STEP; j++) {
                int r = team.row(i + j);
                float d[C];
                numbers(&tiles.out[r][team.column], d);
                if (inside && m + r < rows) finished.put(args.target, (size_t)(m + r) * columns + ch, parts[j], d);
            }
        }
        for (int j = 0; j < C; j++) {
            sum[j] += finished.sum[j];
            dot[j] += finished.dot[j];
        }
        __syncthreads();
    }
    if (!args.target.y) return;
    float all[2] = {team.total(sum), team.total(dot)};
    ch = n + threadIdx.x;
    if (threadIdx.x < BN && ch < columns) leave(args.target.sums, blockIdx.x, columns, ch, all[0], all[1]);
}

KERNEL(conv_input_64, ConvInput, 128) { conv_input<64, 1, 1>(args); }
KERNEL(conv_input_128, ConvInput, 256) { conv_input<128, 1, 1>(args); }
KERNEL(conv_input_64_wide, ConvInput, 128) { conv_input<64, VECTOR, PAIR>(args); }
KERNEL(conv_input_128_wide, ConvInput, 256) { conv_input<128, VECTOR, PAIR>(args); }

// ---------------------------------------------------------------------------------------------------------------------------
// Gradients of weights: the pixels are split among `gridDim.z` blocks, whose shares are added up in their order.

struct ConvWeight {
    Gradient g;
    View view;
    const u8* pixels; // or null
    const float* normalise;
    float* shares; // [splits, out, taps, in]
    Window win;
    int n;      // images
    int length; // pixels of a split
};

// W: the gradient's width.
template <class Input, int W>
__device__ inline void conv_weight(const ConvWeight& args, const Input& input) {
    constexpr int BM = 64;
    __shared__ Tiles<BM, true> tiles;
    int pixels = args.win.oh * args.win.ow;
    int rows = args.win.oc, columns = args.win.kernel * args.win.kernel * args.win.c;
    int m = blockIdx.x * BM, n = blockIdx.y * BN;
    int first = blockIdx.z * args.length, end = min(first + args.length, args.n * pixels);
    GradientRows<W> gradients{args.g, pixels};
    product<BM, true>(gradients, m, rows, input, n, columns, first, end, tiles);
    float* share = args.shares + (size_t)blockIdx.z * rows * columns;
    for (int i = threadIdx.x; i < BM * BN; i += 2 * BM) {
        int r = i / BN, column = i % BN;
        if (m + r < rows && n + column < columns) share[(size_t)(m + r) * columns + n + column] = tiles.out[r][column];
    }
}

KERNEL(conv_weight, ConvWeight, 128) {
    conv_weight<Windows<1>, 1>(args, Windows<1>{args.view, args.win});
}
KERNEL(conv_weight_wide, ConvWeight, 128) {
    conv_weight<Windows<VECTOR>, VECTOR>(args, Windows<VECTOR>{args.view, args.win});
}

#define CONV_WEIGHT_PIXELS(SUFFIX, W)                                                                                  \
    KERNEL(conv_weight_pixels##SUFFIX, ConvWeight, 128) {                                                              \
        PixelWindows input{args.pixels, args.win, args.normalise, args.normalise + 3};                                 \
        conv_weight<PixelWindows, W>(args, input);                                                                     \
    }
CONV_WEIGHT_PIXELS(, 1)
CONV_WEIGHT_PIXELS(_wide, VECTOR)

// Adds up shares [parts, out, taps, in] into [out, in, taps].
struct WeightSum {
    const float* shares;
    float* out;
    int parts, outputs, taps, in;
};

KERNEL(weight_sum, WeightSum, 256) {
    int len = args.outputs * args.taps * args.in, first = blockIdx.x * LANES, i = first + threadIdx.x;
    float sum = column_sum(first, len, args.parts, [&](int p, int i) { return args.shares[(size_t)p * len + i]; });
    if (threadIdx.x >= LANES || i >= len) return;
    int o = i / (args.taps * args.in), tap = i / args.in % args.taps, ch = i % args.in;
    args.out[((size_t)o * args.in + ch) * args.taps + tap] = sum;
}

// The gradient of a bias: sums of the rows' gradients, in shares as above.
struct BiasSum {
    Gradient g;
    float* shares; // [gridDim.y, c]
    int rows, pixels;
};

KERNEL(bias_sum, BiasSum, 256) {
    Lane<1> lane;
    int ch = blockIdx.x * LANES + lane.first;
    float sum = 0.0f;
    auto at = [&](int row) { return fetch<1>(args.g, row * args.g.c + ch); };
    auto use = [&](int row, const GradientParts<1>& parts) {
        float d[1];
        Reached<1>(args.g, row / args.pixels, ch).apply(args.g, parts, 0, d);
        sum += d[0];
    };
    if (ch < args.g.c) stream<4>(blockIdx.y * lane.GROUPS + lane.group, args.rows, gridDim.y * lane.GROUPS, at, use);
    sum = group_total({sum});
    if (ch < args.g.c && threadIdx.x < LANES) args.shares[(size_t)blockIdx.y * args.g.c + ch] = sum;
}
