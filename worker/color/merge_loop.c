/* The inner loop of merge_strips in cielab.py: luminance and chroma of a strip become codes of RGB.

   One pass over the pixels, in blocks that stay in the processor's first cache, instead of thirty
   passes over a strip. The arithmetic is that of the numpy code in cielab.py and upsampling.py,
   which runs where this was not compiled; one test holds both to the same codes. Nothing is kept
   between calls, and other threads run meanwhile. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

/* Where the processor has wider vectors than the compiler may assume, it chooses them at the start. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__linux__)
#define VECTORIZED __attribute__((target_clones("avx2", "default"), optimize("O3")))
#else
#define VECTORIZED
#endif

#define LEVELS 65535.0f
#define TINY 1e-12f

/* x ** power, as a table over the first bits of the float itself, between which it is nearly a
   line: exponents from 2^-40 to 2^0, 512 steps each. The error is below 0.01 of a 16-bit code. */
#define STEP_BITS 9
#define LOWEST_EXPONENT 40
#define CURVE_SIZE ((LOWEST_EXPONENT << STEP_BITS) + 2)

typedef struct {
    const float *slope_a, *slope_b, *offset_a, *offset_b; /* (h, w) each */
    Py_ssize_t h, width;
    const float *fy, *luminance; /* of each gray code */
    float to_rgb[3][2];          /* from X and Z */
    float limit_a, limit_b;
} Chroma;

typedef struct {
    Py_ssize_t upper, lower; /* offsets into the planes */
    float share;             /* of the lower row */
} Between;

static Between between_rows(Py_ssize_t row, Py_ssize_t height, const Chroma *c)
{
    double at = (row + 0.5) * c->h / height - 0.5;
    Between place;
    Py_ssize_t above;
    at = at < 0 ? 0 : at > c->h - 1 ? c->h - 1 : at;
    above = (Py_ssize_t)at;
    if (above > c->h - 2)
        above = c->h > 1 ? c->h - 2 : 0;
    place.upper = above * c->width;
    place.lower = (above + 1 < c->h ? above + 1 : c->h - 1) * c->width;
    place.share = (float)(at - above);
    return place;
}

#define BLOCK 256 /* pixels whose values fit the processor's first cache */

typedef struct {
    float fy[BLOCK], luminance[BLOCK];
    float level[3][BLOCK]; /* linear light, times LEVELS */
} Block;

static inline float mixed(const float *plane, const Between *b, Py_ssize_t x)
{
    float upper = plane[b->upper + x];
    return upper + (plane[b->lower + x] - upper) * b->share;
}

static inline float cube_offset(float fy, float d, float limit)
{
    float thrice = fy * 3.0f;
    d = d < -limit ? -limit : d;
    d = d > limit ? limit : d;
    return ((d + thrice) * d + thrice * fy) * d;
}

/* Fills the levels of pixels x to x + n of a row; the compiler turns it into vector code. */
VECTORIZED static void color_block(const Chroma *c, const Between *b, Py_ssize_t x, int n, Block *block)
{
    float to_rgb[3][2];
    memcpy(to_rgb, c->to_rgb, sizeof to_rgb);
    for (int k = 0; k < n; k++) {
        float fy = block->fy[k], y = block->luminance[k], up, down, keep, high, low;
        float da = mixed(c->slope_a, b, x + k) * fy + mixed(c->offset_a, b, x + k);
        float db = mixed(c->slope_b, b, x + k) * fy + mixed(c->offset_b, b, x + k);
        float dx = cube_offset(fy, da, c->limit_a), dz = cube_offset(fy, db, c->limit_b);
        float red = dx * to_rgb[0][0] + dz * to_rgb[0][1];
        float green = dx * to_rgb[1][0] + dz * to_rgb[1][1];
        float blue = dx * to_rgb[2][0] + dz * to_rgb[2][1];
        high = red > green ? red : green;
        high = high > blue ? high : blue;
        low = red < green ? red : green;
        low = low < blue ? low : blue;
        up = (1.0f - y) / (high + TINY);
        down = y / (TINY - low);
        keep = up < down ? up : down;
        keep = (keep < 1.0f ? keep : 1.0f) * LEVELS;
        y *= LEVELS;
        block->level[0][k] = red * keep + y;
        block->level[1][k] = green * keep + y;
        block->level[2][k] = blue * keep + y;
    }
}

VECTORIZED static void coarse_codes(const Block *block, int n, const uint8_t *codes, uint8_t *out)
{
    int index[3][BLOCK];
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < n; k++) {
            int level = (int)(block->level[i][k] + 0.5f);
            level = level < 0 ? 0 : level;
            index[i][k] = level > 65535 ? 65535 : level;
        }
    for (int k = 0; k < n; k++, out += 3) {
        out[0] = codes[index[0][k]];
        out[1] = codes[index[1][k]];
        out[2] = codes[index[2][k]];
    }
}

typedef struct {
    const float *curve; /* CURVE_SIZE: the power alone */
    int srgb;           /* whether sRGB's line and offset come with it */
    const float *step;  /* (3, 65536): luminance of one step of a code */
    int order[3];       /* of the channels, the heaviest first */
} Fine;

/* Turns levels into exact 16-bit codes, which are not whole yet. */
VECTORIZED static void encode_block(const Fine *f, float *level, int n)
{
    int place[BLOCK];
    float share[BLOCK], linear[BLOCK];
    for (int k = 0; k < n; k++) {
        union { float f; int32_t i; } x;
        float light = level[k] * (1.0f / LEVELS);
        light = light < 1e-12f ? 1e-12f : light; /* the first of the curve, code 0 */
        light = light > 1.0f ? 1.0f : light;
        linear[k] = x.f = light;
        place[k] = (x.i >> (23 - STEP_BITS)) - ((127 - LOWEST_EXPONENT) << STEP_BITS);
        share[k] = (float)(x.i & ((1 << (23 - STEP_BITS)) - 1)) * (1.0f / (1 << (23 - STEP_BITS)));
    }
    for (int k = 0; k < n; k++) {
        float below = f->curve[place[k]];
        level[k] = below + (f->curve[place[k] + 1] - below) * share[k];
    }
    if (f->srgb)
        for (int k = 0; k < n; k++) {
            float bent = level[k] * 1.055f - 0.055f, line = linear[k] * 12.92f;
            level[k] = linear[k] <= 0.0031308f ? line : bent;
        }
    for (int k = 0; k < n; k++)
        level[k] *= LEVELS;
}

VECTORIZED static void fine_codes(const Fine *f, Block *block, int n, uint16_t *out)
{
    float owed[BLOCK] = {0}; /* luminance that rounding took from the channels before */
    for (int turn = 0; turn < 3; turn++) {
        int i = f->order[turn], nearest[BLOCK];
        float *exact = block->level[i], step[BLOCK];
        encode_block(f, exact, n);
        for (int k = 0; k < n; k++)
            nearest[k] = (int)(exact[k] + 0.5f);
        for (int k = 0; k < n; k++)
            step[k] = f->step[65536 * i + nearest[k]];
        for (int k = 0; k < n; k++) {
            float by = owed[k] / step[k], code;
            by = by < -0.99f ? -0.99f : by;
            by = by > 0.99f ? 0.99f : by;
            code = (float)(int)(exact[k] + by + 0.5f);
            code = code > LEVELS ? LEVELS : code;
            owed[k] += (exact[k] - code) * step[k];
            nearest[k] = (int)code;
        }
        for (int k = 0; k < n; k++)
            out[3 * k + i] = (uint16_t)nearest[k];
    }
}

typedef struct {
    Py_ssize_t rows, top, height;
} Strip;

static void color_coarse(const Chroma *c, Strip s, const uint8_t *gray, const uint8_t *codes, uint8_t *out)
{
    Block block;
    for (Py_ssize_t row = 0; row < s.rows; row++) {
        Between b = between_rows(s.top + row, s.height, c);
        for (Py_ssize_t x = 0; x < c->width; x += BLOCK) {
            int n = (int)(c->width - x < BLOCK ? c->width - x : BLOCK);
            for (int k = 0; k < n; k++) {
                block.fy[k] = c->fy[gray[k]];
                block.luminance[k] = c->luminance[gray[k]];
            }
            color_block(c, &b, x, n, &block);
            coarse_codes(&block, n, codes, out);
            gray += n;
            out += 3 * n;
        }
    }
}

static void color_fine(const Chroma *c, Strip s, const uint16_t *gray, const Fine *f, uint16_t *out)
{
    Block block;
    for (Py_ssize_t row = 0; row < s.rows; row++) {
        Between b = between_rows(s.top + row, s.height, c);
        for (Py_ssize_t x = 0; x < c->width; x += BLOCK) {
            int n = (int)(c->width - x < BLOCK ? c->width - x : BLOCK);
            for (int k = 0; k < n; k++) {
                block.fy[k] = c->fy[gray[k]];
                block.luminance[k] = c->luminance[gray[k]];
            }
            color_block(c, &b, x, n, &block);
            fine_codes(f, &block, n, out);
            gray += n;
            out += 3 * n;
        }
    }
}

static int of_size(const Py_buffer *buffer, Py_ssize_t bytes, const char *what)
{
    if (buffer->len == bytes)
        return 1;
    PyErr_Format(PyExc_ValueError, "%s has %zd bytes, not %zd", what, buffer->len, bytes);
    return 0;
}

static PyObject *color_strip(PyObject *Py_UNUSED(self), PyObject *args)
{
    Py_buffer out, gray, planes[4], fy, luminance, to_rgb, tables, step;
    Py_ssize_t rows, width, top, height, h, codes;
    int depth, srgb;
    Chroma c;
    Fine f;
    Strip strip;
    PyObject *result = NULL;

    if (!PyArg_ParseTuple(args, "w*y*(y*y*y*y*)y*y*y*y*y*(nnnnn)ffip:color_strip", &out, &gray,
                          &planes[0], &planes[1], &planes[2], &planes[3], &fy, &luminance, &to_rgb,
                          &tables, &step, &rows, &width, &top, &height, &h, &c.limit_a, &c.limit_b,
                          &depth, &srgb))
        return NULL;
    codes = depth == 8 ? 256 : 65536;
    if (depth != 8 && depth != 16) {
        PyErr_SetString(PyExc_ValueError, "depth must be 8 or 16");
        goto done;
    }
    if (rows < 0 || width < 1 || h < 1 || top < 0 || height < 1 || rows > height - top) {
        PyErr_SetString(PyExc_ValueError, "no such strip");
        goto done;
    }
    for (int i = 0; i < 4; i++)
        if (!of_size(&planes[i], h * width * 4, "a plane"))
            goto done;
    if (!of_size(&gray, rows * width * depth / 8, "gray")
        || !of_size(&out, 3 * rows * width * depth / 8, "the result")
        || !of_size(&fy, codes * 4, "f of Y") || !of_size(&luminance, codes * 4, "luminance")
        || !of_size(&to_rgb, 6 * 4, "the matrix")
        || !of_size(&tables, depth == 8 ? 65536 : CURVE_SIZE * 4, "the curve")
        || !of_size(&step, depth == 8 ? 0 : 3 * 65536 * 4, "the steps"))
        goto done;

    strip = (Strip){rows, top, height};
    c.slope_a = planes[0].buf;
    c.slope_b = planes[1].buf;
    c.offset_a = planes[2].buf;
    c.offset_b = planes[3].buf;
    c.h = h;
    c.width = width;
    c.fy = fy.buf;
    c.luminance = luminance.buf;
    memcpy(c.to_rgb, to_rgb.buf, sizeof c.to_rgb);
    f.curve = tables.buf;
    f.srgb = srgb;
    f.step = step.buf;
    if (depth == 16) { /* by the luminance of a step in the middle of the range */
        for (int i = 0; i < 3; i++)
            f.order[i] = i;
        for (int i = 0; i < 2; i++)
            for (int j = 0; j < 2 - i; j++)
                if (f.step[65536 * f.order[j] + 32768] < f.step[65536 * f.order[j + 1] + 32768]) {
                    int other = f.order[j];
                    f.order[j] = f.order[j + 1];
                    f.order[j + 1] = other;
                }
    }
    Py_BEGIN_ALLOW_THREADS
    if (depth == 8)
        color_coarse(&c, strip, gray.buf, tables.buf, out.buf);
    else
        color_fine(&c, strip, gray.buf, &f, out.buf);
    Py_END_ALLOW_THREADS
    result = Py_NewRef(Py_None);
done:
    PyBuffer_Release(&out);
    PyBuffer_Release(&gray);
    for (int i = 0; i < 4; i++)
        PyBuffer_Release(&planes[i]);
    PyBuffer_Release(&fy);
    PyBuffer_Release(&luminance);
    PyBuffer_Release(&to_rgb);
    PyBuffer_Release(&tables);
    PyBuffer_Release(&step);
    return result;
}

static PyMethodDef methods[] = {
    {"color_strip", color_strip, METH_VARARGS,
     "color_strip(out, gray, (slope_a, slope_b, offset_a, offset_b), fy, luminance, to_rgb, tables,\n"
     "            step, (rows, width, top, height, h), limit_a, limit_b, depth, srgb)\n\n"
     "Fill out, (rows, width, 3), with codes; see worker/color/cielab.py for the arguments."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {{0, NULL}};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "worker.color.merge_loop",
    "The inner loop of worker.color.cielab, compiled.", 0, methods, slots, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit_merge_loop(void) { return PyModuleDef_Init(&module); }
