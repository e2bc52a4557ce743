/* Counts numbers into bins, and rows into bins of principal components, in few passes.
 *
 * What is computed is said in bins.py and components.py, and tests hold it equal to a few lines of
 * NumPy, to the last bit: a row is in the same bin whatever batch it comes in.
 *
 * Loops go over vectors of eight numbers, which compilers make of what the processor has.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

#define LANES 8
#define ROWS 64 /* at a time: what is made of them stays in the fastest cache */

typedef double doubles __attribute__((vector_size(LANES * 8)));
typedef int64_t longs __attribute__((vector_size(LANES * 8)));
typedef uint8_t bytes __attribute__((vector_size(LANES)));
typedef int32_t few_ints __attribute__((vector_size(LANES * 4)));
typedef int32_t ints __attribute__((vector_size(2 * LANES * 4)));

/* Built for several processors, of which the loader picks the one that there is. */
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__)
#define FAST __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define FAST
#endif

static inline doubles load(const double *from) {
    doubles found;
    memcpy(&found, from, sizeof found);
    return found;
}

static inline doubles both(double value) { return (doubles){0} + value; }

/* Of each lane one of two values. */
static inline doubles pick(longs first, doubles one, doubles other) {
    return (doubles)(((longs)one & first) | ((longs)other & ~first));
}

static inline void store(double *to, doubles values) { memcpy(to, &values, sizeof values); }

/* --- numbers ---------------------------------------------------------------------------- */

/* Copy numbers as doubles, with NaN where a bit is 0, if there are bits; how many of the others are finite.
 * `integers` says that they are of 64 bits, and whole. */
FAST static int64_t convert(const void *from, int integers, const uint8_t *valid, Py_ssize_t offset, Py_ssize_t size, double *to) {
    const longs each = {1, 2, 4, 8, 16, 32, 64, 128};
    longs finite = {0};
    for (Py_ssize_t at = 0; at < size; at += LANES) {
        int rest = size - at < LANES ? (int)(size - at) : LANES;
        longs word = {0};
        memcpy(&word, (const char *)from + at * 8, (size_t)rest * 8);
        doubles value = integers ? __builtin_convertvector(word, doubles) : (doubles)word;
        int present = (1 << rest) - 1;
        if (valid) {
            Py_ssize_t bit = offset + at;
            int bits = valid[bit >> 3];
            if ((bit & 7) + rest > 8) bits |= valid[(bit >> 3) + 1] << 8;
            present &= bits >> (bit & 7);
        }
        longs there = (((longs){0} + present) & each) != 0;
        value = pick(there, value, both(Py_NAN));
        finite -= value - value == 0;
        memcpy(to + at, &value, (size_t)rest * sizeof *to);
    }
    int64_t found = 0;
    for (int lane = 0; lane < LANES; lane++) found += finite[lane];
    return found;
}

PyDoc_STRVAR(floats_doc,
"floats(numbers, integers, valid, offset, values) -> int\n\n"
"Fill a float64 array with float64 numbers, or int64 ones, where bits from an offset on are 1, and NaN\n"
"elsewhere. No bits at all stand for all. How many are finite is returned.");

static PyObject *floats(PyObject *module, PyObject *args) {
    Py_buffer numbers, valid, values;
    Py_ssize_t offset;
    int integers;
    int64_t finite = -1;
    if (!PyArg_ParseTuple(args, "y*py*nw*", &numbers, &integers, &valid, &offset, &values)) return NULL;
    Py_ssize_t size = values.len / 8;
    if (numbers.len != size * 8 || offset < 0 || (valid.len && size > valid.len * 8 - offset)) {
        PyErr_SetString(PyExc_ValueError, "there must be a number, a bit and room for each value");
    } else {
        Py_BEGIN_ALLOW_THREADS
        finite = convert(numbers.buf, integers, valid.len ? valid.buf : NULL, offset, size, values.buf);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&numbers);
    PyBuffer_Release(&valid);
    PyBuffer_Release(&values);
    return finite < 0 ? NULL : PyLong_FromLongLong(finite);
}

/* --- bins ------------------------------------------------------------------------------- */

/* How many edges each value is above; of NaN, one more than there are edges. */
FAST static void place(const double *values, Py_ssize_t size, const double *edges, int count, uint8_t *codes) {
    for (Py_ssize_t at = 0; at < size; at += LANES) {
        int rest = size - at < LANES ? (int)(size - at) : LANES;
        doubles value = {0};
        if (rest == LANES) value = load(values + at);
        else memcpy(&value, values + at, (size_t)rest * sizeof *values);
        longs code = (value != value) & (count + 1);
        for (int edge = 0; edge < count; edge++) code -= value > edges[edge]; /* true is -1 */
        bytes small = __builtin_convertvector(code, bytes);
        memcpy(codes + at, &small, (size_t)rest);
    }
}

/* Add how many there are of each code. Counters take turns: to add twice to one takes longer. */
static void tally(const uint8_t *codes, Py_ssize_t size, int64_t *counts, Py_ssize_t distinct) {
    int64_t turns[4][256] = {{0}};
    Py_ssize_t at = 0;
    for (; at + 4 <= size; at += 4)
        for (int turn = 0; turn < 4; turn++) turns[turn][codes[at + turn]]++;
    for (; at < size; at++) turns[0][codes[at]]++;
    for (Py_ssize_t code = 0; code < distinct; code++)
        counts[code] += turns[0][code] + turns[1][code] + turns[2][code] + turns[3][code];
}

PyDoc_STRVAR(bin_codes_doc,
"bin_codes(values, edges, codes, counts)\n\n"
"Fill a uint8 array with how many edges each of some float64 values is above, one more than all for\n"
"NaN, and add to an int64 array how many values have each of these codes. There are at most 254 edges.");

static PyObject *bin_codes(PyObject *module, PyObject *args) {
    Py_buffer values, edges, codes, counts;
    if (!PyArg_ParseTuple(args, "y*y*w*w*", &values, &edges, &codes, &counts)) return NULL;
    Py_ssize_t size = values.len / 8, count = edges.len / 8;
    int fits = count <= 254 && codes.len == size && counts.len == (count + 2) * 8;
    if (fits) {
        Py_BEGIN_ALLOW_THREADS
        place(values.buf, size, edges.buf, (int)count, codes.buf);
        tally(codes.buf, size, counts.buf, count + 2);
        Py_END_ALLOW_THREADS
    } else {
        PyErr_SetString(PyExc_ValueError, "codes are a byte a value, and counts two more than edges");
    }
    PyBuffer_Release(&values);
    PyBuffer_Release(&edges);
    PyBuffer_Release(&codes);
    PyBuffer_Release(&counts);
    if (!fits) return NULL;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(interpolate_doc,
"interpolate(values, starts, heights, slopes, results)\n\n"
"Fill a float64 array with the heights of values on lines that begin at ascending starts, of which\n"
"there are one or more; what is outside has that of the nearer end, and NaN stays NaN.");

static PyObject *interpolate(PyObject *module, PyObject *args) {
    Py_buffer values, starts, heights, slopes, results;
    if (!PyArg_ParseTuple(args, "y*y*y*y*w*", &values, &starts, &heights, &slopes, &results)) return NULL;
    const double *value = values.buf, *start = starts.buf, *height = heights.buf, *slope = slopes.buf;
    double *result = results.buf;
    Py_ssize_t size = values.len / 8, count = starts.len / 8;
    int fits = count && heights.len == starts.len && slopes.len == starts.len && results.len == size * 8;
    if (fits) {
        Py_BEGIN_ALLOW_THREADS
        const double first = start[0], last = start[count - 1];
        for (Py_ssize_t at = 0; at < size; at++) {
            double x = value[at] < first ? first : value[at] > last ? last : value[at];
            Py_ssize_t line = 0;
            for (Py_ssize_t left = count, half; left > 1; left -= half) {
                half = left / 2;
                line += half & -(Py_ssize_t)(x >= start[line + half]); /* a jump would often be the wrong one */
            }
            result[at] = slope[line] * (x - start[line]) + height[line];
        }
        Py_END_ALLOW_THREADS
    } else {
        PyErr_SetString(PyExc_ValueError, "there must be a height and a slope for each start");
    }
    PyBuffer_Release(&values);
    PyBuffer_Release(&starts);
    PyBuffer_Release(&heights);
    PyBuffer_Release(&slopes);
    PyBuffer_Release(&results);
    if (!fits) return NULL;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(count_codes_doc,
"count_codes(codes, counts)\n\n"
"Add to an int64 array how many there are of each of some int32 codes.");

static PyObject *count_codes(PyObject *module, PyObject *args) {
    Py_buffer codes, counts;
    if (!PyArg_ParseTuple(args, "y*w*", &codes, &counts)) return NULL;
    const uint32_t *code = codes.buf, distinct = counts.len / 8 > INT32_MAX ? INT32_MAX : (uint32_t)(counts.len / 8);
    int64_t *count = counts.buf;
    Py_ssize_t size = codes.len / 4, at = 0;
    for (; at < size && code[at] < distinct; at++) count[code[at]]++; /* less than nothing is very much */
    PyBuffer_Release(&codes);
    PyBuffer_Release(&counts);
    if (at == size) Py_RETURN_NONE;
    PyErr_SetString(PyExc_ValueError, "a code has no count");
    return NULL;
}

FAST static uint32_t greatest(const uint32_t *codes, Py_ssize_t size) {
    uint32_t found = 0;
    for (Py_ssize_t at = 0; at < size; at++) found = codes[at] > found ? codes[at] : found;
    return found;
}

PyDoc_STRVAR(look_up_doc,
"look_up(codes, table, results, counts)\n\n"
"Fill a uint8 array with what a uint8 table has for each of some int32 codes, and add to an int64 array how\n"
"many there are of each result, of which all in the table have a count.");

static PyObject *look_up_codes(PyObject *module, PyObject *args) {
    Py_buffer codes, table, results, counts;
    if (!PyArg_ParseTuple(args, "y*y*w*w*", &codes, &table, &results, &counts)) return NULL;
    const uint32_t *code = codes.buf;
    const uint8_t *value = table.buf;
    uint8_t *result = results.buf;
    Py_ssize_t size = codes.len / 4, distinct = table.len, many = counts.len / 8;
    int fits = results.len == size && distinct <= INT32_MAX;
    for (Py_ssize_t at = 0; at < distinct; at++) fits &= value[at] < many;
    fits = fits && (!size || greatest(code, size) < (uint32_t)distinct);
    if (fits) {
        int64_t turns[4][256] = {{0}}, *count = counts.buf;
        for (Py_ssize_t at = 0; at < size; at++) turns[at & 3][result[at] = value[code[at]]]++;
        for (Py_ssize_t at = 0; at < many && at < 256; at++)
            count[at] += turns[0][at] + turns[1][at] + turns[2][at] + turns[3][at];
    } else {
        PyErr_SetString(PyExc_ValueError, "each code must be in the table, and what it says must have a count");
    }
    PyBuffer_Release(&codes);
    PyBuffer_Release(&table);
    PyBuffer_Release(&results);
    PyBuffer_Release(&counts);
    if (!fits) return NULL;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(leave_doc,
"leave(codes, table, left)\n\n"
"Leave, of the bits in a uint64 array, those that a uint64 table has for the code of each. Codes are uint8\n"
"or int32.");

static PyObject *leave(PyObject *module, PyObject *args) {
    Py_buffer codes, table, left;
    if (!PyArg_ParseTuple(args, "y*y*w*", &codes, &table, &left)) return NULL;
    const uint8_t *small = codes.buf;
    const uint32_t *large = codes.buf;
    const uint64_t *of_codes = table.buf;
    uint64_t all[256] = {0}, *bits = left.buf;
    Py_ssize_t size = left.len / 8, distinct = table.len / 8;
    int fits = 1;
    if (codes.len == size && distinct <= 256) {
        memcpy(all, of_codes, (size_t)distinct * 8);
        for (Py_ssize_t at = 0; at < size; at++) bits[at] &= all[small[at]];
    } else if (codes.len == size * 4 && distinct <= INT32_MAX && greatest(large, size) < (uint32_t)distinct) {
        for (Py_ssize_t at = 0; at < size; at++) bits[at] &= of_codes[large[at]];
    } else {
        fits = 0;
        PyErr_SetString(PyExc_ValueError, "there must be a code for each of the bits");
    }
    PyBuffer_Release(&codes);
    PyBuffer_Release(&table);
    PyBuffer_Release(&left);
    if (!fits) return NULL;
    Py_RETURN_NONE;
}

/* --- components ------------------------------------------------------------------------- */

#define LARGEST 1e7              /* of a component, in thousandths */
#define WHOLE 6755399441055744.0 /* 1.5 * 2^52: a number that is added to it has no room for a fraction */

typedef struct {
    Py_buffer sizes, tables;
    Py_buffer *codes;  /* of each field: one or four bytes a row */
    int64_t *starts;   /* of each field: where it begins in the tables; at last, where all end */
    uint32_t *places;  /* where in the tables the values of some rows begin: (rows, fields) */
    int32_t *found;    /* components of some rows, and, behind them, their distance: (rows, columns) */
    Py_ssize_t fields, rows;
    Py_ssize_t width;   /* components, and as many zeros as make whole vectors */
    Py_ssize_t columns; /* one more, and what makes whole vectors of integers */
} projection;

static void release(projection *p) {
    for (Py_ssize_t field = 0; p->codes && field < p->fields; field++)
        if (p->codes[field].obj) PyBuffer_Release(&p->codes[field]);
    PyMem_Free(p->codes);
    PyMem_Free(p->starts);
    PyMem_Free(p->places);
    PyMem_Free(p->found);
    PyBuffer_Release(&p->sizes);
    PyBuffer_Release(&p->tables);
}

/* Take the codes of each field, and room; 0 where they, sizes and tables don't belong together. */
static int take(projection *p, PyObject *codes) {
    const Py_ssize_t numbers = p->tables.len / 8;
    p->fields = p->sizes.len / 8;
    if (PyTuple_GET_SIZE(codes) != p->fields || !p->fields || p->tables.len > INT32_MAX) {
        PyErr_SetString(PyExc_ValueError, "there must be codes for each of the sizes");
        return 0;
    }
    p->codes = PyMem_Calloc((size_t)p->fields, sizeof *p->codes);
    p->starts = PyMem_Calloc((size_t)p->fields + 1, sizeof *p->starts);
    p->places = PyMem_Malloc((size_t)p->fields * ROWS * sizeof *p->places);
    if (!p->codes || !p->starts || !p->places) {
        PyErr_NoMemory();
        return 0;
    }
    for (Py_ssize_t field = 0; field < p->fields; field++) {
        Py_buffer *of = &p->codes[field];
        if (PyObject_GetBuffer(PyTuple_GET_ITEM(codes, field), of, PyBUF_FORMAT) < 0) return 0;
        if ((of->itemsize != 1 && of->itemsize != 4) || (field && of->len != p->rows * of->itemsize)) {
            PyErr_SetString(PyExc_ValueError, "codes must be of one or four bytes, and all of as many rows");
            return 0;
        }
        p->rows = of->len / of->itemsize;
        int64_t size = ((const int64_t *)p->sizes.buf)[field];
        p->starts[field + 1] = p->starts[field] + (size < 1 || size > numbers ? numbers : size);
    }
    p->width = numbers / p->starts[p->fields];
    if (!p->width || p->width % LANES || p->width * p->starts[p->fields] * 8 != p->tables.len) {
        PyErr_SetString(PyExc_ValueError, "tables must have whole vectors for each of the codes");
        return 0;
    }
    p->columns = (p->width + 2 * LANES) / (2 * LANES) * (2 * LANES);
    p->found = PyMem_Calloc((size_t)p->columns * ROWS, sizeof *p->found);
    if (!p->found) PyErr_NoMemory();
    return p->found != NULL;
}

/* Find the places of some rows; 0 where a code is in no table. */
static int look_up(const projection *p, Py_ssize_t first, Py_ssize_t rows) {
    uint32_t beyond = 0;
    for (Py_ssize_t field = 0; field < p->fields; field++) {
        const Py_buffer *codes = &p->codes[field];
        const uint32_t start = (uint32_t)p->starts[field], size = (uint32_t)p->starts[field + 1] - start;
        const uint32_t width = (uint32_t)p->width;
        for (Py_ssize_t row = 0; row < rows; row++) {
            uint32_t code = codes->itemsize == 1 ? ((const uint8_t *)codes->buf)[first + row]
                                                 : ((const uint32_t *)codes->buf)[first + row];
            beyond |= code >= size;
            p->places[row * p->fields + field] = (start + code) * width;
        }
    }
    return !beyond;
}

/* Some components of a row, in thousandths, as whole numbers; returns the sums of their squares. */
static inline __attribute__((always_inline)) doubles
project_row(const projection *p, const uint32_t *places, Py_ssize_t column, const int vectors, int32_t *found) {
    const double *tables = (const double *)p->tables.buf + column;
    doubles sums[3] = {{0}, {0}, {0}}, squares = {0};
    for (Py_ssize_t field = 0; field < p->fields; field++)
        for (int i = 0; i < vectors; i++) sums[i] += load(tables + places[field] + i * LANES);
    for (int i = 0; i < vectors; i++) {
        doubles sum = sums[i];
        sum = pick(sum > LARGEST, both(LARGEST), pick(sum < -LARGEST, both(-LARGEST), sum));
        sum = sum + WHOLE - WHOLE;
        squares += sum * sum;
        few_ints whole = __builtin_convertvector(sum, few_ints);
        memcpy(found + column + i * LANES, &whole, sizeof whole);
    }
    return squares;
}

/* The components of the rows whose places are known. */
FAST static void project_rows(const projection *p, Py_ssize_t rows) {
    const Py_ssize_t three = 3 * LANES;
    const uint32_t *places = p->places;
    int32_t *found = p->found;
    for (Py_ssize_t row = 0; row < rows; row++, places += p->fields, found += p->columns) {
        doubles squares = {0};
        Py_ssize_t column = 0;
        for (; column + three <= p->width; column += three) squares += project_row(p, places, column, 3, found);
        for (; column < p->width; column += LANES) squares += project_row(p, places, column, 1, found);
        double square = 0;
        for (int lane = 0; lane < LANES; lane++) square += squares[lane];
        double distance = __builtin_sqrt(square);
        found[p->width] = (int32_t)((distance > LARGEST ? LARGEST : distance) + WHOLE - WHOLE);
    }
}

/* Add how many rows have more than each threshold: (edges, columns). */
FAST static void count_above(const projection *p, Py_ssize_t rows, Py_ssize_t edges, const int32_t *thresholds, int32_t *above) {
    for (Py_ssize_t column = 0; column < p->columns; column += 2 * LANES)
        for (Py_ssize_t edge = 0; edge < edges; edge++) {
            const int32_t *found = p->found + column;
            Py_ssize_t at = edge * p->columns + column;
            ints threshold, value, more;
            memcpy(&threshold, thresholds + at, sizeof threshold);
            memcpy(&more, above + at, sizeof more);
            for (Py_ssize_t row = 0; row < rows; row++, found += p->columns) {
                memcpy(&value, found, sizeof value);
                more -= value > threshold;
            }
            memcpy(above + at, &more, sizeof more);
        }
}

static inline Py_ssize_t rows_from(const projection *p, Py_ssize_t first) {
    return p->rows - first < ROWS ? p->rows - first : ROWS;
}

PyDoc_STRVAR(project_doc,
"project(codes, sizes, tables, values)\n\n"
"Fill an int32 array (width + 1, rows) with components in thousandths, and, at last, their distance.\n"
"`codes` is a tuple, of each field an array of uint8 or uint32; `sizes`, of int64, are how many codes\n"
"each has, and `tables`, a float64 array (all codes, width), what each adds. The width is a multiple of\n"
"8.");

static PyObject *project(PyObject *module, PyObject *args) {
    PyObject *codes;
    Py_buffer values;
    projection p = {0};
    if (!PyArg_ParseTuple(args, "O!y*y*w*", &PyTuple_Type, &codes, &p.sizes, &p.tables, &values)) return NULL;
    if (take(&p, codes)) {
        int32_t *to = values.buf;
        if (values.len != (p.width + 1) * p.rows * 4)
            PyErr_SetString(PyExc_ValueError, "values must have an int32 for each component and row");
        for (Py_ssize_t first = 0; first < p.rows && !PyErr_Occurred(); first += ROWS) {
            Py_ssize_t rows = rows_from(&p, first);
            if (!look_up(&p, first, rows)) {
                PyErr_SetString(PyExc_ValueError, "a code is in no table");
                break;
            }
            project_rows(&p, rows);
            for (Py_ssize_t column = 0; column <= p.width; column++)
                for (Py_ssize_t row = 0; row < rows; row++)
                    to[column * p.rows + first + row] = p.found[row * p.columns + column];
        }
    }
    PyBuffer_Release(&values);
    release(&p);
    if (PyErr_Occurred()) return NULL;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(count_projected_doc,
"count_projected(codes, sizes, tables, thresholds, counts)\n\n"
"Project rows, and add how many are above each of the thresholds: an int32 and an int64 array (edges,\n"
"width + 1), with the distance at last.");

static PyObject *count_projected(PyObject *module, PyObject *args) {
    PyObject *codes;
    Py_buffer thresholds, counts;
    projection p = {0};
    if (!PyArg_ParseTuple(args, "O!y*y*y*w*", &PyTuple_Type, &codes, &p.sizes, &p.tables, &thresholds, &counts))
        return NULL;
    int32_t *limits = NULL, *above = NULL;
    if (take(&p, codes)) {
        const Py_ssize_t width = p.width + 1, edges = thresholds.len / 4 / width;
        limits = PyMem_Calloc((size_t)(edges * p.columns + 1), sizeof *limits);
        above = PyMem_Calloc((size_t)(edges * p.columns + 1), sizeof *above);
        if (!limits || !above) {
            PyErr_NoMemory();
        } else if (thresholds.len != edges * width * 4 || counts.len != edges * width * 8) {
            PyErr_SetString(PyExc_ValueError, "thresholds and counts must be of each component");
        } else {
            int fits = 1;
            Py_BEGIN_ALLOW_THREADS
            for (Py_ssize_t edge = 0; edge < edges; edge++)
                memcpy(limits + edge * p.columns, (int32_t *)thresholds.buf + edge * width, (size_t)width * 4);
            for (Py_ssize_t first = 0; fits && first < p.rows; first += ROWS) {
                Py_ssize_t rows = rows_from(&p, first);
                if ((fits = look_up(&p, first, rows))) {
                    project_rows(&p, rows);
                    count_above(&p, rows, edges, limits, above);
                }
            }
            for (Py_ssize_t edge = 0; fits && edge < edges; edge++)
                for (Py_ssize_t column = 0; column < width; column++)
                    ((int64_t *)counts.buf)[edge * width + column] += above[edge * p.columns + column];
            Py_END_ALLOW_THREADS
            if (!fits) PyErr_SetString(PyExc_ValueError, "a code is in no table");
        }
    }
    PyMem_Free(limits);
    PyMem_Free(above);
    PyBuffer_Release(&thresholds);
    PyBuffer_Release(&counts);
    release(&p);
    if (PyErr_Occurred()) return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef METHODS[] = {
    {"bin_codes", bin_codes, METH_VARARGS, bin_codes_doc},
    {"floats", floats, METH_VARARGS, floats_doc},
    {"interpolate", interpolate, METH_VARARGS, interpolate_doc},
    {"count_codes", count_codes, METH_VARARGS, count_codes_doc},
    {"look_up", look_up_codes, METH_VARARGS, look_up_doc},
    {"leave", leave, METH_VARARGS, leave_doc},
    {"project", project, METH_VARARGS, project_doc},
    {"count_projected", count_projected, METH_VARARGS, count_projected_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef MODULE = {
    PyModuleDef_HEAD_INIT,
    .m_name = "ml_exporter.statistics._counting",
    .m_doc = "Numbers in bins, and rows in bins of principal components.",
    .m_size = -1,
    .m_methods = METHODS,
};

PyMODINIT_FUNC PyInit__counting(void) { return PyModule_Create(&MODULE); }
