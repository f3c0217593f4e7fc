/* Batch norm in training, with SiLU if `act`, on maps stored channels last: n pixels of c channels, float32.

   What is between the two is not stored: the gradient computes it again from x. Sums are those of PARTS ranges of
   pixels, added in order and in double precision: the number of threads does not change a result. */

#include <math.h>
#include <stdint.h>
#include <string.h>

#define PARTS 16
#define ROWS 32 /* pixels whose sum is taken in single precision */

static long begin(long part, long n) { return n * part / PARTS; }

static inline float exponential(float x) {
    union { float f; int32_t i; } bits;
    x = x > 88.0f ? 88.0f : x;
    x = x < -87.0f ? -87.0f : x;
    bits.f = x * 1.44269504f + 12582912.0f; /* rounds to a whole number, in the low bits */
    float k = bits.f - 12582912.0f, r = x - k * 0.693359375f + k * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    bits.i = (int32_t)((uint32_t)bits.i << 23) + (127 << 23);
    return p * bits.f;
}

static inline float sigmoid(float z) { return 1.0f / (1.0f + exponential(-z)); }

/* Sums of (x - shift) and of its square. */
static void part_of_statistics(const float *restrict x, long rows, long c, const float *restrict shift,
                               double *restrict sums) {
    float first[c], second[c];
    memset(sums, 0, 2 * c * sizeof *sums);
    for (long start = 0; start < rows; start += ROWS) {
        long end = start + ROWS < rows ? start + ROWS : rows, row = start;
        memset(first, 0, sizeof first);
        memset(second, 0, sizeof second);
        for (; row + 4 <= end; row += 4) {
            const float *restrict p = x + row * c;
            for (long j = 0; j < c; j++) {
                float a = p[j] - shift[j], b = p[j + c] - shift[j], d = p[j + 2 * c] - shift[j], e = p[j + 3 * c] - shift[j];
                first[j] += (a + b) + (d + e);
                second[j] += (a * a + b * b) + (d * d + e * e);
            }
        }
        for (; row < end; row++)
            for (long j = 0; j < c; j++) {
                float a = x[row * c + j] - shift[j];
                first[j] += a;
                second[j] += a * a;
            }
        for (long j = 0; j < c; j++) sums[j] += first[j], sums[c + j] += second[j];
    }
}


/* The gradient with respect to the norm's output, into dz (if `act`; without, it is g), and the sums of it and of its
   product with x - mean. */
static void part_of_gradients(const float *restrict g, const float *restrict x, float *restrict dz, long rows, long c,
                              const float *restrict mean, const float *restrict scale, const float *restrict bias,
                              int act, double *restrict sums) {
    float first[c], second[c];
    memset(sums, 0, 2 * c * sizeof *sums);
    for (long start = 0; start < rows; start += ROWS) {
        long end = start + ROWS < rows ? start + ROWS : rows;
        memset(first, 0, sizeof first);
        memset(second, 0, sizeof second);
        for (long row = start; row < end; row++, g += c, x += c, dz += c)
            if (act)
                for (long j = 0; j < c; j++) {
                    float d = x[j] - mean[j], z = d * scale[j] + bias[j], s = sigmoid(z);
                    float gradient = g[j] * (s + z * s * (1.0f - s));
                    dz[j] = gradient;
                    first[j] += gradient;
                    second[j] += gradient * d;
                }
            else
                for (long j = 0; j < c; j++) {
                    first[j] += g[j];
                    second[j] += g[j] * (x[j] - mean[j]);
                }
        for (long j = 0; j < c; j++) sums[j] += first[j], sums[c + j] += second[j];
    }
}

static void apply(const float *restrict x, float *restrict y, long rows, long c, const float *restrict mean,
                  const float *restrict inverse, const float *restrict weight, const float *restrict bias, int act) {
    float scale[c], shift[c];
    for (long j = 0; j < c; j++) scale[j] = inverse[j] * weight[j], shift[j] = bias[j] - mean[j] * scale[j];
    for (long row = 0; row < rows; row++, x += c, y += c)
        if (act)
            for (long j = 0; j < c; j++) {
                float z = x[j] * scale[j] + shift[j];
                y[j] = z * sigmoid(z);
            }
        else
            for (long j = 0; j < c; j++) y[j] = x[j] * scale[j] + shift[j];
}

/* dx from dz, which may be the same memory. */
static void apply_gradient(const float *dz, const float *restrict x, float *dx, long rows, long c,
                           const float *restrict mean, const float *restrict scale, const float *restrict first,
                           const float *restrict second) {
    for (long row = 0; row < rows; row++, dz += c, x += c, dx += c)
#pragma GCC ivdep
        for (long j = 0; j < c; j++) dx[j] = scale[j] * (dz[j] - first[j] - (x[j] - mean[j]) * second[j]);
}

static void add_parts(double *sums, long c) {
    for (long part = 1; part < PARTS; part++)
        for (long j = 0; j < 2 * c; j++) sums[j] += sums[part * 2 * c + j];
}

/* `saved` receives mean and inverse deviation; `sums` is memory for PARTS times 2 c numbers, here and below. */
void norm_forward(const float *x, float *y, long n, long c, const float *weight, const float *bias, float *running_mean,
                 float *running_variance, double momentum, double eps, int act, float *saved, double *sums, int threads) {
    float *mean = saved, *inverse = saved + c;
#pragma omp parallel for num_threads(threads)
    for (long part = 0; part < PARTS; part++)
        part_of_statistics(x + begin(part, n) * c, begin(part + 1, n) - begin(part, n), c, x, sums + part * 2 * c);
    add_parts(sums, c);
    for (long j = 0; j < c; j++) {
        double shifted = sums[j] / n, variance = sums[c + j] / n - shifted * shifted;
        variance = variance < 0 ? 0 : variance;
        mean[j] = (float)(x[j] + shifted);
        inverse[j] = (float)(1 / sqrt(variance + eps));
        running_mean[j] = (float)((1 - momentum) * running_mean[j] + momentum * (x[j] + shifted));
        running_variance[j] = (float)((1 - momentum) * running_variance[j] + momentum * variance * n / (n - 1));
    }
#pragma omp parallel for num_threads(threads)
    for (long part = 0; part < PARTS; part++) {
        long offset = begin(part, n) * c, rows = begin(part + 1, n) - begin(part, n);
        apply(x + offset, y + offset, rows, c, mean, inverse, weight, bias, act);
    }
}

/* The gradients of x, weight and bias from that of y. */
void norm_backward(const float *g, const float *x, float *dx, long n, long c, const float *weight, const float *bias,
                   const float *saved, int act, float *dweight, float *dbias, double *sums, int threads) {
    const float *mean = saved, *inverse = saved + c;
    float scales[c], firsts[c], seconds[c];
    for (long j = 0; j < c; j++) scales[j] = weight[j] * inverse[j];
    const float *scale = scales, *first = firsts, *second = seconds;
#pragma omp parallel for num_threads(threads)
    for (long part = 0; part < PARTS; part++) {
        long offset = begin(part, n) * c, rows = begin(part + 1, n) - begin(part, n);
        part_of_gradients(g + offset, x + offset, dx + offset, rows, c, mean, scale, bias, act, sums + part * 2 * c);
    }
    add_parts(sums, c);
    for (long j = 0; j < c; j++) {
        dbias[j] = (float)sums[j], firsts[j] = (float)(sums[j] / n);
        dweight[j] = (float)(sums[c + j] * inverse[j]), seconds[j] = (float)(sums[c + j] * inverse[j] * inverse[j] / n);
    }
    const float *dz = act ? dx : g;
#pragma omp parallel for num_threads(threads)
    for (long part = 0; part < PARTS; part++) {
        long offset = begin(part, n) * c, rows = begin(part + 1, n) - begin(part, n);
        apply_gradient(dz + offset, x + offset, dx + offset, rows, c, mean, scale, first, second);
    }
}
