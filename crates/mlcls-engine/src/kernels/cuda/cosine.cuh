// The cosine head: unit features times unit class vectors.

struct Cosine {
    View view;       // features [n, d]
    const float* weight; // [classes, d]
    float* x;        // unit features [n, d]
    float* x_inverse; // one over their lengths [n]
    float* w;        // unit class vectors [classes, d]
    float* w_inverse;
    Map out;         // logits, or their gradient [n, classes]
    Target target;   // of the features
    float* weight_gradient;
    float* dx; // gradient of the unit features [n, d]
    int n, d, classes;
    float scale;
};

#define LENGTH_FLOOR 1e-12f

// Divides rows by their lengths: the images' features, then the class vectors. A block has a row.
KERNEL(cosine_units, Cosine, 256) {
    bool image = blockIdx.x < args.n;
    int row = image ? blockIdx.x : blockIdx.x - args.n, d = args.d;
    float* out = (image ? args.x : args.w) + (size_t)row * d;
    float sum = 0.0f;
    for (int i = threadIdx.x; i < d; i += blockDim.x) {
        float v[1] = {0.0f};
        if (image) load<1>(args.view, (size_t)row * d + i, row, i, v);
        else v[0] = args.weight[(size_t)row * d + i];
        out[i] = v[0];
        sum += v[0] * v[0];
    }
    float inverse = 1.0f / fmaxf(sqrtf(block_sum(sum)), LENGTH_FLOOR);
    for (int i = threadIdx.x; i < d; i += blockDim.x) out[i] *= inverse;
    if (threadIdx.x == 0) (image ? args.x_inverse : args.w_inverse)[row] = inverse;
}

KERNEL(cosine_forward, Cosine, 256) {
    int c = warp_row(), d = args.d;
    size_t image = blockIdx.y;
    if (c >= args.classes) return;
    float dot = warp_dot(args.x + image * d, args.w + (size_t)c * d, d);
    if (threadIdx.x % 32 == 0) put(args.out, image * args.classes + c, args.scale * fminf(fmaxf(dot, -1.0f), 1.0f));
}

// The gradient of the unit class vectors; then that of the unit features.
KERNEL(cosine_weight, Cosine, 256) {
    int c = blockIdx.x, d = args.d, first = blockIdx.y * LANES, i = first + threadIdx.x;
    float sum = column_sum(first, d, args.n, [&](int n, int i) {
        return get(args.out, (size_t)n * args.classes + c) * args.x[(size_t)n * d + i];
    });
    if (threadIdx.x < LANES && i < d) args.weight_gradient[(size_t)c * d + i] = args.scale * sum;
}

KERNEL(cosine_input, Cosine, 256) {
    int n = blockIdx.x, d = args.d, first = blockIdx.y * LANES, i = first + threadIdx.x;
    float sum = column_sum(first, d, args.classes, [&](int c, int i) {
        return get(args.out, (size_t)n * args.classes + c) * args.w[(size_t)c * d + i];
    });
    if (threadIdx.x < LANES && i < d) args.dx[(size_t)n * d + i] = args.scale * sum;
}

// From unit vectors to the vectors that they were made of, row by row as above: what lies along a vector has no effect, where its
// length was not floored.
KERNEL(cosine_lengths, Cosine, 256) {
    bool image = blockIdx.x < args.n;
    int row = image ? blockIdx.x : blockIdx.x - args.n, d = args.d;
    const float* unit = (image ? args.x : args.w) + (size_t)row * d;
    float* gradient = (image ? args.dx : args.weight_gradient) + (size_t)row * d;
    float inverse = (image ? args.x_inverse : args.w_inverse)[row], dot = 0.0f;
    for (int i = threadIdx.x; i < d; i += blockDim.x) dot += gradient[i] * unit[i];
    dot = block_sum(dot);
    if (inverse >= 1.0f / LENGTH_FLOOR) dot = 0.0f;
    for (int i = threadIdx.x; i < d; i += blockDim.x) {
        float g = (gradient[i] - dot * unit[i]) * inverse;
        if (image) give(args.target, (size_t)row * d + i, g);
        else gradient[i] = g;
    }
}
