// Depthwise convolutions: a block takes a tile of pixels of one image and 32 channels. What lies under the tile is read,
// activated and kept in shared memory; a thread then slides over it for its own channel.

// Rows and columns of a tile of outputs: fewer rows with stride 2, whose input is larger.
template <int S>
struct TileOf {
    static constexpr int H = S == 1 ? 8 : 4, W = 8;
};

struct DepthwiseForward {
    View view;
    const float* weight; // [c, taps]
    Map out;
    float* moments; // [blocks, 3, c], as of other convolutions; or null
    Window win;
    int tiles_x, tiles_y; // of one image
};

// The input under the tile whose first output is (oy, ox): rows and columns from its first window on, zeros outside.
template <int K, int S>
struct InputTile {
    static constexpr int H = (TileOf<S>::H - 1) * S + K, W = (TileOf<S>::W - 1) * S + K;
    float v[H][W][LANES];

    __device__ void fetch(const View& view, const Window& win, int image, int oy, int ox, int ch) {
        int lane = threadIdx.x % LANES;
        for (int i = threadIdx.x / LANES; i < H * W; i += GROUPS) {
            int y = oy * S - win.top + i / W, x = ox * S - win.left + i % W;
            float value[1] = {0.0f};
            if (ch < win.c && (u32)y < (u32)win.h && (u32)x < (u32)win.w) {
                load<1>(view, (((size_t)image * win.h + y) * win.w + x) * win.c + ch, image, ch, value);
            }
            v[i / W][i % W][lane] = value[0];
        }
    }
};

template <int K, int S>
__device__ inline void depthwise_forward(const DepthwiseForward& args) {
    constexpr int TH = TileOf<S>::H, TW = TileOf<S>::W;
    __shared__ InputTile<K, S> input;
    const Window& win = args.win;
    int lane = threadIdx.x % LANES, group = threadIdx.x / LANES;
    int tile = blockIdx.x % (args.tiles_x * args.tiles_y), image = blockIdx.x / (args.tiles_x * args.tiles_y);
    int oy = tile / args.tiles_x * TH, ox = tile % args.tiles_x * TW;
    int ch = blockIdx.y * LANES + lane;
    bool inside = ch < win.c;
    input.fetch(args.view, win, image, oy, ox, ch);
    float weight[K * K];
#pragma unroll
    for (int t = 0; t < K * K; t++) weight[t] = inside ? args.weight[(size_t)ch * K * K + t] : 0.0f;
    __syncthreads();

    // A group of threads has one column of the tile.
    int rows = min(TH, win.oh - oy), columns = min(TW, win.ow - ox);
    float out[TH], sum = 0.0f;
#pragma unroll
    for (int r = 0; r < TH; r++) {
        if (!inside || r >= rows || group >= columns) continue;
        float v = 0.0f;
#pragma unroll
        for (int t = 0; t < K * K; t++) v += input.v[r * S + t / K][group * S + t % K][lane] * weight[t];
        out[r] = put(args.out, (((size_t)image * win.oh + oy + r) * win.ow + ox + group) * win.c + ch, v);
        sum += out[r];
    }
    if (!args.moments) return;
    float mean = group_sum(sum) / (rows * columns), square = 0.0f;
#pragma unroll
    for (int r = 0; r < TH; r++) {
        if (inside && r < rows && group < columns) square += (out[r] - mean) * (out[r] - mean);
    }
    square = group_sum(square);
    if (!inside || group) return;
    float* moments = args.moments + (size_t)blockIdx.x * 3 * win.c + ch;
    moments[0] = (float)(rows * columns);
    moments[win.c] = mean;
    moments[2 * win.c] = square;
}

// ---------------------------------------------------------------------------------------------------------------------------
// The gradient of the input: a tile of 8 x 8 input pixels and all outputs that they were part of.

struct DepthwiseInput {
    Gradient g;
    const float* weight;
    Target target;
    Window win;
    int tiles_x, tiles_y; // of one image's input
};

// The least integer not below a / b, for b above 0.
__device__ inline int ceil_div(int a, int b) { return a > 0 ? (a + b - 1) / b : -(-a / b); }

template <int K, int S>
__device__ inline void depthwise_input(const DepthwiseInput& args) {
    constexpr int T = 8, H = (T - 1 + K - 1) / S + 1;
    __shared__ float dy[H][H][LANES];
    const Window& win = args.win;
    int lane = threadIdx.x % LANES, group = threadIdx.x / LANES;
    int tile = blockIdx.x % (args.tiles_x * args.tiles_y), image = blockIdx.x / (args.tiles_x * args.tiles_y);
    int iy = tile / args.tiles_x * T, ix = tile % args.tiles_x * T;
    int ch = blockIdx.y * LANES + lane;
    bool inside = ch < win.c;
    // The first output that has this tile's first pixel in its window.
    int oy = ceil_div(iy + win.top - (K - 1), S), ox = ceil_div(ix + win.left - (K - 1), S);
    for (int i = group; i < H * H; i += GROUPS) {
        int y = oy + i / H, x = ox + i % H;
        float d[1] = {0.0f};
        if (inside && (u32)y < (u32)win.oh && (u32)x < (u32)win.ow) {
            load<1>(args.g, (((size_t)image * win.oh + y) * win.ow + x) * win.c + ch, image, ch, d);
        }
        dy[i / H][i % H][lane] = d[0];
    }
    float weight[K * K];
#pragma unroll
    for (int t = 0; t < K * K; t++) weight[t] = inside ? args.weight[(size_t)ch * K * K + t] : 0.0f;
    __syncthreads();

    float sum = 0.0f, dot = 0.0f;
    int x = ix + group;
    if (inside && x < win.w) {
        for (int y = iy; y < min(iy + T, win.h); y++) {
            float v = 0.0f;
#pragma unroll
            for (int t = 0; t < K * K; t++) {
                int py = y + win.top - t / K, px = x + win.left - t % K;
                if (S > 1 && (py % S || px % S)) continue; // no output has this pixel under this tap
                v += dy[py / S - oy][px / S - ox][lane] * weight[t];
            }
            float z = 0.0f;
            float d = put(args.target, (((size_t)image * win.h + y) * win.w + x) * win.c + ch, ch, v, z);
            sum += d;
            dot += d * z;
        }
    }
    if (!args.target.y) return;
    sum = group_sum(sum);
    dot = group_sum(dot);
    if (!inside || group) return;
    float* sums = args.target.sums + (size_t)blockIdx.x * 2 * win.c + ch;
    sums[0] = sum;
    sums[win.c] = dot;
}

// ---------------------------------------------------------------------------------------------------------------------------
// The gradient of the weight: tiles of outputs are shared out among `gridDim.x` blocks.

struct DepthwiseWeight {
    Gradient g;
    View view;
    float* shares; // [gridDim.x, c, taps]
    Window win;
    int tiles_x, tiles_y; // of one image's output
    int tiles;            // of all images
    int pad;
};

template <int K, int S>
__device__ inline void depthwise_weight(const DepthwiseWeight& args) {
    constexpr int TH = TileOf<S>::H, TW = TileOf<S>::W;
    __shared__ InputTile<K, S> input;
    const Window& win = args.win;
    int lane = threadIdx.x % LANES, group = threadIdx.x / LANES, ch = blockIdx.y * LANES + lane;
    bool inside = ch < win.c;
    float acc[K * K] = {};
    for (int tile = blockIdx.x; tile < args.tiles; tile += gridDim.x) {
        int within = tile % (args.tiles_x * args.tiles_y), image = tile / (args.tiles_x * args.tiles_y);
        int oy = within / args.tiles_x * TH, ox = within % args.tiles_x * TW;
        __syncthreads();
        input.fetch(args.view, win, image, oy, ox, ch);
        __syncthreads();
        int x = ox + group;
        if (!inside || x >= win.ow) continue;
#pragma unroll
        for (int r = 0; r < TH; r++) {
            if (oy + r >= win.oh) continue;
            float d[1];
            load<1>(args.g, (((size_t)image * win.oh + oy + r) * win.ow + x) * win.c + ch, image, ch, d);
#pragma unroll
            for (int t = 0; t < K * K; t++) acc[t] += d[0] * input.v[r * S + t / K][group * S + t % K][lane];
        }
    }
#pragma unroll
    for (int t = 0; t < K * K; t++) {
        float sum = group_sum(acc[t]);
        if (inside && group == 0) args.shares[((size_t)blockIdx.x * win.c + ch) * K * K + t] = sum;
    }
}

#define DEPTHWISE(K, S)                                                                                                \
    KERNEL(depthwise_forward_##K##S, DepthwiseForward, 256) { depthwise_forward<K, S>(args); }                         \
    KERNEL(depthwise_input_##K##S, DepthwiseInput, 256) { depthwise_input<K, S>(args); }                               \
    KERNEL(depthwise_weight_##K##S, DepthwiseWeight, 256) { depthwise_weight<K, S>(args); }
DEPTHWISE(1, 1)
DEPTHWISE(1, 2)
DEPTHWISE(3, 1)
DEPTHWISE(3, 2)
DEPTHWISE(5, 1)
DEPTHWISE(5, 2)
DEPTHWISE(7, 1)
DEPTHWISE(7, 2)
