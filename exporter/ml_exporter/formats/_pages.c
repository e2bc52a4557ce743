/* Reads pages of Parquet whose values are codes: of each row the place of its value in a dictionary.
 *
 * https://parquet.apache.org/docs/file-format/data-pages/encodings/
 *
 * Whatever is unusual is refused, and Arrow reads it. Nothing is read outside of what was given.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

#define DEEPEST 16    /* of structures within each other */
#define WIDEST 24     /* bits of a code: eight bytes hold one wherever it begins */
#define LONGEST_RUN (1LL << 40)
#define LANES 8

typedef uint64_t longs __attribute__((vector_size(LANES * 8)));
typedef int32_t ints __attribute__((vector_size(LANES * 4)));
typedef uint8_t bytes __attribute__((vector_size(LANES)));

/* Built for several processors, of which the loader picks the one that there is. */
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__)
#define FAST __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define FAST
#endif

typedef struct {
    const uint8_t *at, *end;
    int bad;
} input;

static uint64_t varint(input *in) {
    uint64_t value = 0;
    for (int shift = 0; shift < 64 && in->at < in->end; shift += 7) {
        uint8_t byte = *in->at++;
        value |= (uint64_t)(byte & 127) << shift;
        if (byte < 128) return value;
    }
    in->bad = 1;
    return 0;
}

/* --- headers ---------------------------------------------------------------------------- */

/* https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md */
enum { STOP, TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT };

static int64_t number(input *in) {
    uint64_t value = varint(in);
    return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

/* The type of the next field; its number is added to. */
static int next_field(input *in, int64_t *field) {
    if (in->at >= in->end) in->bad = 1;
    if (in->bad) return STOP;
    uint8_t head = *in->at++;
    if (head == STOP) return STOP;
    *field = head >> 4 ? *field + (head >> 4) : number(in);
    return head & 15;
}

static void skip(input *in, int type, int depth);

static void skip_bytes(input *in, uint64_t size) {
    if (size > (uint64_t)(in->end - in->at)) in->bad = 1;
    else in->at += size;
}

static void skip_list(input *in, int depth) {
    if (in->at >= in->end) {
        in->bad = 1;
        return;
    }
    uint8_t head = *in->at++;
    uint64_t size = head >> 4 == 15 ? varint(in) : head >> 4;
    for (; size && !in->bad; size--) {
        if (in->at >= in->end) in->bad = 1; /* each takes a byte, or there would be no end of them */
        else if ((head & 15) <= FALSE) in->at++;
        else skip(in, head & 15, depth + 1);
    }
}

static void skip(input *in, int type, int depth) {
    int64_t field = 0;
    if (depth > DEEPEST) in->bad = 1;
    if (in->bad) return;
    switch (type) {
    case TRUE: case FALSE: break;
    case BYTE: skip_bytes(in, 1); break;
    case I16: case I32: case I64: varint(in); break;
    case DOUBLE: skip_bytes(in, 8); break;
    case BINARY: skip_bytes(in, varint(in)); break;
    case LIST: case SET: skip_list(in, depth); break;
    case STRUCT:
        while ((type = next_field(in, &field)) != STOP) skip(in, type, depth + 1);
        break;
    default: in->bad = 1; /* a page's header has no maps */
    }
}

/* Read the whole numbers among the fields of a structure, of which there are as many as found has places. */
static void read_numbers(input *in, int64_t *found, int64_t places, int inner) {
    int64_t field = 0;
    int type;
    while ((type = next_field(in, &field)) != STOP && !in->bad) {
        if (type == I32 && field > 0 && field <= places) found[field - 1] = number(in);
        else if (type == STRUCT && inner && (field == 5 || field == 7)) read_numbers(in, found + (field == 5 ? 3 : 7), 4, 0);
        else skip(in, type, 1);
    }
}

PyDoc_STRVAR(header_doc,
"header(data) -> tuple[int, ...] | None\n\n"
"Of a page's header: its own size, the type of the page, its size uncompressed and compressed; how many\n"
"values a data page has, their encoding, that of definition levels, and of repetition levels; how many a\n"
"dictionary has, and their encoding. -1 is what it doesn't say. None: it isn't whole, or isn't one.");

static PyObject *header(PyObject *module, PyObject *args) {
    Py_buffer data;
    if (!PyArg_ParseTuple(args, "y*", &data)) return NULL;
    int64_t found[11];
    for (int i = 0; i < 11; i++) found[i] = -1;
    input in = {data.buf, (const uint8_t *)data.buf + data.len, 0};
    read_numbers(&in, found, 3, 1);
    long long size = in.at - (const uint8_t *)data.buf;
    PyBuffer_Release(&data);
    if (in.bad) Py_RETURN_NONE;
    return Py_BuildValue("LLLLLLLLLL", size, found[0], found[1], found[2], found[3], found[4], found[5], found[6],
                         found[7], found[8]);
}

/* --- codes ------------------------------------------------------------------------------ */

/* Runs of one value, and of values packed into bits. */
typedef struct {
    input in;
    int width;      /* bits of a value */
    int64_t left;   /* values of this run that are still to come */
    uint32_t value; /* of all of them, unless they are packed */
    const uint8_t *packed;
    int64_t bit; /* where the next one of those that are packed begins */
} runs;

static int next_run(runs *r) {
    uint64_t head = varint(&r->in);
    uint64_t left = (uint64_t)(r->in.end - r->in.at);
    r->left = (int64_t)(head >> 1);
    if (r->in.bad || r->left == 0 || r->left > LONGEST_RUN) return 0;
    if (head & 1) {
        uint64_t size = (head >> 1) * (uint64_t)r->width;
        if (size > left) return 0;
        r->packed = r->in.at;
        r->bit = 0;
        r->left *= 8;
        r->in.at += size;
    } else {
        uint64_t size = (uint64_t)(r->width + 7) / 8;
        if (size > left) return 0;
        r->packed = NULL;
        r->value = 0;
        for (uint64_t i = 0; i < size; i++) r->value |= (uint32_t)r->in.at[i] << (8 * i);
        r->in.at += size;
    }
    return 1;
}

static inline uint64_t word_at(const uint8_t *at, const uint8_t *end) {
    uint64_t word = 0;
    memcpy(&word, at, end - at >= 8 ? 8 : (size_t)(end - at));
    return word;
}

/* Unpack values that begin at a bit, eight at a time where they begin with a byte. */
FAST static void unpack(const uint8_t *packed, const uint8_t *end, int64_t bit, int width, int64_t count, int32_t *to) {
    const uint64_t mask = (1ull << width) - 1, w = (uint64_t)width;
    const longs shifts = {0, w, 2 * w, 3 * w, 4 * w % 8, 4 * w % 8 + w, 4 * w % 8 + 2 * w, 4 * w % 8 + 3 * w};
    while (count) {
        const uint8_t *at = packed + (bit >> 3);
        if (width > 2 * LANES || bit & 7 || count < LANES || end - at < width / 2 + 8) {
            *to++ = (int32_t)(word_at(at, end) >> (bit & 7) & mask);
            bit += width;
            count--;
            continue;
        }
        uint64_t low, high; /* four values each */
        memcpy(&low, at, 8);
        memcpy(&high, at + width / 2, 8);
        longs values = {low, low, low, low, high, high, high, high};
        ints found = __builtin_convertvector(values >> shifts & mask, ints);
        memcpy(to, &found, sizeof found);
        to += LANES;
        bit += LANES * width;
        count -= LANES;
    }
}

/* Take the next values, of which `to` gets none if it is NULL; 0 where there are too few. */
static int take(runs *r, int64_t count, int32_t *to) {
    while (count) {
        if (!r->left && !next_run(r)) return 0;
        int64_t some = count < r->left ? count : r->left;
        if (to && r->packed) unpack(r->packed, r->in.end, r->bit, r->width, some, to);
        for (int64_t i = 0; to && !r->packed && i < some; i++) to[i] = (int32_t)r->value;
        r->bit += some * r->width;
        if (to) to += some;
        r->left -= some;
        count -= some;
    }
    return 1;
}

/* Unpack bits, unless `to` is NULL; how many are set. */
static int64_t unpack_levels(const uint8_t *packed, int64_t bit, int64_t count, uint8_t *to) {
    const bytes each = {1, 2, 4, 8, 16, 32, 64, 128};
    int64_t set = 0;
    while (count) {
        uint8_t byte = packed[bit >> 3];
        if (bit & 7 || count < LANES) {
            uint8_t level = byte >> (bit & 7) & 1;
            if (to) *to++ = level;
            set += level;
            bit++;
            count--;
            continue;
        }
        if (to) {
            bytes levels = ((((bytes){0} + byte) & each) != 0) & 1;
            memcpy(to, &levels, sizeof levels);
            to += LANES;
        }
        set += __builtin_popcount(byte);
        bit += LANES;
        count -= LANES;
    }
    return set;
}

/* How many of the next rows have a value; negative where there are too few rows. `to` gets each, unless it is NULL. */
static int64_t take_levels(runs *r, int64_t count, uint8_t *to) {
    int64_t present = 0;
    while (count) {
        if (!r->left && !next_run(r)) return -1;
        int64_t some = count < r->left ? count : r->left;
        if (!r->packed) {
            if (to) memset(to, r->value != 0, (size_t)some);
            present += r->value ? some : 0;
        } else {
            present += unpack_levels(r->packed, r->bit, some, to);
            r->bit += some;
        }
        if (to) to += some;
        r->left -= some;
        count -= some;
    }
    return present;
}

FAST static uint32_t greatest(const int32_t *codes, int64_t count) {
    uint32_t found = 0;
    for (int64_t i = 0; i < count; i++) found = (uint32_t)codes[i] > found ? (uint32_t)codes[i] : found;
    return found;
}

/* Codes of some rows of a page; `distinct` where a row has no value. 0 where the page isn't right. */
static int decode(input in, int optional, int64_t first, int64_t rows, int32_t distinct, int32_t *codes, uint8_t *levels) {
    int64_t before = first, present = rows;
    if (optional) {
        uint32_t size;
        if (in.end - in.at < 4) return 0;
        memcpy(&size, in.at, 4);
        in.at += 4;
        if (size > (uint64_t)(in.end - in.at)) return 0;
        runs of_levels = {.in = {in.at, in.at + size, 0}, .width = 1};
        in.at += size;
        before = take_levels(&of_levels, first, NULL);
        present = take_levels(&of_levels, rows, levels);
        if (before < 0 || present < 0) return 0;
    }
    if (present) {
        if (in.at == in.end || *in.at > WIDEST) return 0;
        runs of_codes = {.in = {in.at + 1, in.end, 0}, .width = *in.at};
        if (!take(&of_codes, before, NULL) || !take(&of_codes, present, codes)) return 0;
    }
    if (present && greatest(codes, present) >= (uint32_t)distinct) return 0;
    /* From the end on, none is overwritten before it is moved to its row. */
    for (int64_t row = rows - 1, from = present - 1; present < rows && row >= 0; row--) {
        int32_t code = codes[from < 0 ? 0 : from];
        codes[row] = levels[row] ? code : distinct;
        from -= levels[row];
    }
    return 1;
}

PyDoc_STRVAR(codes_doc,
"codes(page, optional, first, distinct, codes) -> bool\n\n"
"Fill an int32 array with the codes of a page's rows, from the first one on, each less than `distinct`,\n"
"which itself stands for no value: there may be such rows if the column is optional. False: the page\n"
"isn't right, or has too few rows.");

static PyObject *codes(PyObject *module, PyObject *args) {
    Py_buffer page, codes;
    Py_ssize_t first;
    int optional, distinct, fits = 0;
    if (!PyArg_ParseTuple(args, "y*pniw*", &page, &optional, &first, &distinct, &codes)) return NULL;
    Py_ssize_t rows = codes.len / 4;
    uint8_t *levels = optional ? PyMem_Malloc((size_t)rows + 1) : NULL;
    if (!optional || levels) {
        if (first >= 0 && distinct >= 0) {
            input in = {page.buf, (const uint8_t *)page.buf + page.len, 0};
            Py_BEGIN_ALLOW_THREADS
            fits = decode(in, optional, first, rows, distinct, codes.buf, levels);
            Py_END_ALLOW_THREADS
        }
        PyMem_Free(levels);
    } else {
        PyErr_NoMemory();
    }
    PyBuffer_Release(&page);
    PyBuffer_Release(&codes);
    return PyErr_Occurred() ? NULL : PyBool_FromLong(fits);
}

static PyMethodDef METHODS[] = {
    {"header", header, METH_VARARGS, header_doc},
    {"codes", codes, METH_VARARGS, codes_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef MODULE = {
    PyModuleDef_HEAD_INIT,
    .m_name = "ml_exporter.formats._pages",
    .m_doc = "Pages of Parquet whose values are codes.",
    .m_size = -1,
    .m_methods = METHODS,
};

PyMODINIT_FUNC PyInit__pages(void) { return PyModule_Create(&MODULE); }
