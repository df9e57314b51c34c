// Depthwise convolutions: a block takes tiles of pixels and 32 channels, one tile after the other. What lies under a tile is
// read, activated and kept in shared memory; a thread then slides over it for W channels of one column.

// ---------------------------------------------------------------------------------------------------------------------------
// Outputs.

struct DepthwiseForward {
    View view;
    const float* weight; // [c, taps]
    Map out;
    float* moments; // [gridDim.x, 3, c], as of other convolutions; or null
    Window win;
    TileCount tiles;
};

template <int K, int S, int W>
__device__ inline void depthwise_forward(const DepthwiseForward& args) {
    typedef Place<ROWS_OF<S>, W> At;
    constexpr int ROWS = At::ROWS;
    __shared__ InputTile<K, S> input;
    const Window& win = args.win;
    At at;
    int ch = blockIdx.y * LANES + at.lane;
    bool inside = ch < win.c;
    float weight[K * K][W];
    weights_of<K, W>(args.weight, inside, ch, weight);
    Seen<W> seen(args.view, 0, inside ? ch : 0);
    Moments moments[W] = {};
    for (int number = blockIdx.x; number < args.tiles.all; number += gridDim.x) {
        Tile tile(args.tiles, ROWS_OF<S>, number);
        seen.turn(args.view, tile.image, inside ? ch : 0);
        __syncthreads();
        input.fetch(args.view, seen, win, tile, inside, ch);
        __syncthreads();

        float out[ROWS][W] = {};
        input.slide(at, [&](int r, int tap, const float (&v)[W]) {
            for (int j = 0; j < W; j++) out[r][j] += v[j] * weight[tap][j];
        });
        int x = tile.x + at.column, rows = at.rows(tile.y, win.oh);
        if (!inside || x >= win.ow) continue;
#pragma unroll
        for (int r = 0; r < ROWS; r++) {
            int y = tile.y + at.row + r;
            if (r < rows) put(args.out, (size_t)((tile.image * win.oh + y) * win.ow + x) * win.c + ch, out[r]);
        }
        if (args.moments) add_rows(moments, out, rows);
    }
    if (!args.moments) return;
    Moments all = group_total(moments);
    ch = blockIdx.y * LANES + threadIdx.x;
    if (threadIdx.x < LANES && ch < win.c) leave(args.moments, blockIdx.x, win.c, ch, all);
}

// ---------------------------------------------------------------------------------------------------------------------------
// The gradient of the input: tiles of 8 x 8 input pixels and all outputs that they were part of.

struct DepthwiseInput {
    Gradient g;
    const float* weight;
    Target target;
    Window win;
    TileCount tiles; // of the input
};

// The least integer not below a / b, for b above 0.
__device__ inline int ceil_div(int a, int b) { return a > 0 ? (a + b - 1) / b : -(-a / b); }

// With stride 2 an output has every second tap over a pixel: which ones depends on where windows begin, and on the pixel. `SKEW`
// is how far behind the first output row's window the last tap of the tile's first row lies, 0 or, with stride 2, 1.
template <int K, int S, int SKEW, int W>
__device__ inline void depthwise_input(const DepthwiseInput& args) {
    constexpr int T = 8, H = (T + K - 2) / S + 1, TAPS = (K + S - 1) / S;
    typedef Place<T, W> At;
    constexpr int ROWS = At::ROWS;
    alignas(16) __shared__ float dy[H][H][LANES];
    const Window& win = args.win;
    At at;
    int ch = blockIdx.y * LANES + at.lane;
    bool inside = ch < win.c;
    Reached<W> reached(args.g, 0, inside ? ch : 0);
    Finished<W> finished(args.target, inside, ch);

    // The tile's column c has tap `last + c - S q` of the output in column q; `last` is the same for all tiles, as they begin at
    // multiples of 8. So this thread's taps are odd + S i, of the outputs `newest - i`.
    int last = K - 1 - (S > 1 ? abs(win.left - (K - 1)) % S : 0);
    int odd = (last + at.column) % S, newest = (last + at.column) / S;
    float weight[K][TAPS][W];
#pragma unroll
    for (int y = 0; y < K; y++) {
#pragma unroll
        for (int i = 0; i < TAPS; i++) {
            int x = odd + S * i;
#pragma unroll
            for (int j = 0; j < W; j++) {
                weight[y][i][j] = inside && x < K ? args.weight[(size_t)(ch + j) * K * K + y * K + x] : 0.0f;
            }
        }
    }
    for (int number = blockIdx.x; number < args.tiles.all; number += gridDim.x) {
        Tile tile(args.tiles, T, number);
        // The first output that has this tile's first pixel in its window.
        int oy = ceil_div(tile.y + win.top - (K - 1), S), ox = ceil_div(tile.x + win.left - (K - 1), S);
        reached.turn(args.g, tile.image, inside ? ch : 0);
        __syncthreads();
        struct Parts {
            GradientParts<W> gradient;
            bool there;
        };
        auto fetched = [&](int pixel) {
            int y = oy + pixel / H, x = ox + pixel % H;
            Parts parts;
            parts.there = inside && (u32)y < (u32)win.oh && (u32)x < (u32)win.ow;
            if (parts.there) parts.gradient = fetch<W>(args.g, ((tile.image * win.oh + y) * win.ow + x) * win.c + ch);
            return parts;
        };
        auto keep = [&](int pixel, const Parts& parts) {
            float d[W];
            fill(d, 0.0f);
            if (parts.there) reached.apply(args.g, parts.gradient, 0, d);
            *reinterpret_cast<Numbers<W>*>(&dy[pixel / H][pixel % H][at.lane]) = as_numbers(d);
        };
        stream<4>(at.group, H * H, At::GROUPS, fetched, keep);
        __syncthreads();

        int x = tile.x + at.column, rows = inside && x < win.w ? at.rows(tile.y, win.h) : 0;
        size_t first = (size_t)((tile.image * win.h + tile.y + at.row) * win.w + x) * win.c + ch;
        typename Finished<W>::Parts parts[ROWS];
#pragma unroll
        for (int r = 0; r < ROWS; r++) {
            if (r < rows) parts[r] = Finished<W>::fetch(args.target, first + (size_t)r * win.w * win.c);
        }
        float d[ROWS][W] = {};
        int row = at.row / S;
#pragma unroll
        for (int q = 0; q < (ROWS + K - 2) / S + 1; q++) {
#pragma unroll
            for (int i = 0; i < TAPS; i++) {
                float v[W];
                // A tap beyond the window has weight 0; its output may lie before the tile.
                numbers(&dy[row + q][max(newest - i, 0)][at.lane], v);
#pragma unroll
                for (int r = 0; r < ROWS; r++) {
                    int tap = r + K - 1 - SKEW - S * q;
                    if (tap < 0 || tap >= K) continue;
                    for (int j = 0; j < W; j++) d[r][j] += v[j] * weight[tap][i][j];
                }
            }
        }
#pragma unroll
        for (int r = 0; r < ROWS; r++) {
            if (r < rows) finished.put(args.target, first + (size_t)r * win.w * win.c, parts[r], d[r]);
        }
    }
    if (!args.target.y) return;
    float sum = group_total(finished.sum), dot = group_total(finished.dot);
    ch = blockIdx.y * LANES + threadIdx.x;
    if (threadIdx.x < LANES && ch < win.c) leave(args.target.sums, blockIdx.x, win.c, ch, sum, dot);
}

// ---------------------------------------------------------------------------------------------------------------------------
// The gradient of the weight: tiles of outputs are shared out among `gridDim.x` blocks.

struct DepthwiseWeight {
    Gradient g;
    View view;
    float* shares; // [gridDim.x, c, taps]
    Window win;
    TileCount tiles; // of the output
};

template <int K, int S, int W>
__device__ inline void depthwise_weight(const DepthwiseWeight& args) {
    typedef Place<ROWS_OF<S>, W> At;
    constexpr int ROWS = At::ROWS;
    __shared__ InputTile<K, S> input;
    const Window& win = args.win;
    At at;
    int ch = blockIdx.y * LANES + at.lane;
    bool inside = ch < win.c;
    Seen<W> seen(args.view, 0, inside ? ch : 0);
    Reached<W> reached(args.g, 0, inside ? ch : 0);
    float acc[K * K][W] = {};
    for (int number = blockIdx.x; number < args.tiles.all; number += gridDim.x) {
        Tile tile(args.tiles, ROWS_OF<S>, number);
        seen.turn(args.view, tile.image, inside ? ch : 0);
        reached.turn(args.g, tile.image, inside ? ch : 0);
        int x = tile.x + at.column, rows = inside && x < win.ow ? at.rows(tile.y, win.oh) : 0;
        int first = ((tile.image * win.oh + tile.y + at.row) * win.ow + x) * win.c + ch;
        GradientParts<W> parts[ROWS];
#pragma unroll
        for (int r = 0; r < ROWS; r++) {
            if (r < rows) parts[r] = fetch<W>(args.g, first + r * win.ow * win.c);
        }
        __syncthreads();
        input.fetch(args.view, seen, win, tile, inside, ch);
        __syncthreads();
        float d[ROWS][W] = {};
#pragma unroll
        for (int r = 0; r < ROWS; r++) {
            if (r < rows) reached.apply(args.g, parts[r], 0, d[r]);
        }
        input.slide(at, [&](int r, int tap, const float (&v)[W]) {
            for (int j = 0; j < W; j++) acc[tap][j] += v[j] * d[r][j];
        });
    }
    ch = blockIdx.y * LANES + threadIdx.x;
#pragma unroll
    for (int t = 0; t < K * K; t++) {
        float sum = group_total(acc[t]);
        if (threadIdx.x < LANES && ch < win.c) args.shares[((size_t)blockIdx.x * win.c + ch) * K * K + t] = sum;
    }
}

#define DEPTHWISE_WIDTH(K, S, SUFFIX, W)                                                                               \
    KERNEL(depthwise_forward_##K##S##SUFFIX, DepthwiseForward, 256) { depthwise_forward<K, S, W>(args); }              \
    KERNEL(depthwise_input_##K##S##SUFFIX, DepthwiseInput, 256) {                                                      \
        if (S == 1 || (args.win.top - (K - 1)) % 2 == 0) depthwise_input<K, S, 0, W>(args);                            \
        else depthwise_input<K, S, S - 1, W>(args);                                                                    \
    }                                                                                                                  \
    KERNEL(depthwise_weight_##K##S##SUFFIX, DepthwiseWeight, 256) { depthwise_weight<K, S, W>(args); }
#define DEPTHWISE(K, S)                                                                                                \
    DEPTHWISE_WIDTH(K, S, , 1)                                                                                         \
    DEPTHWISE_WIDTH(K, S, _wide, PAIR)
DEPTHWISE(1, 1)
DEPTHWISE(1, 2)
DEPTHWISE(3, 1)
DEPTHWISE(3, 2)
DEPTHWISE(5, 1)
DEPTHWISE(5, 2)
DEPTHWISE(7, 1)
DEPTHWISE(7, 2)
