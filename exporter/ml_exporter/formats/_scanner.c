/* Finds where the values of a log's rows stand, and what numbers and times they are.
 *
 * The decoders in jsonl.py and csv.py say what rows are; this does the usual ones at speed. Any
 * line that is in some way unusual is left to them: a scan stops in front of it. So nothing here
 * decides that a row is bad, and whatever is accepted here is accepted there, with the same values.
 *
 * A value is a span of the data: where it starts, how long it is, and of which kind it is. Spans of
 * one column are beside each other: arrays are (slots, capacity).
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

enum kind { ABSENT, NULL_, TRUE_, FALSE_, NUMBER, TEXT, ESCAPED, OBJECT, ARRAY };

#define LONGEST_ROW (1 << 20)
#define AHEAD 16 /* rows whose bytes are fetched beforehand: each is a line of the cache away */
#define DEEPEST 64 /* levels of objects and lists; what is deeper is unusual */

typedef const unsigned char *cursor;

/* --- bytes ------------------------------------------------------------------------------ */

static inline uint64_t load8(cursor p) {
    uint64_t word;
    memcpy(&word, p, 8);
    return word;
}

static inline uint32_t load4(cursor p) {
    uint32_t word;
    memcpy(&word, p, 4);
    return word;
}

#define EVERY(byte) (0x0101010101010101ULL * (byte))
/* The highest bit of each byte that is zero, or has one before it. */
#define HAS_ZERO(word) (((word) - EVERY(0x01)) & ~(word) & EVERY(0x80))
#define HAS_CONTROL(word) (((word) - EVERY(0x20)) & ~(word) & EVERY(0x80))

/* How many bytes there are before the first one that is marked. */
static inline int before_mark(uint64_t marks) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return __builtin_ctzll(marks) >> 3;
#else
    return 0;
#endif
}

/* Whether two texts are the same: of a few bytes it is faster than a call. */
static inline int same(cursor a, cursor b, Py_ssize_t size) {
    if (size >= 8) {
        for (Py_ssize_t i = 0; i < size - 8; i += 8)
            if (load8(a + i) != load8(b + i)) return 0;
        return load8(a + size - 8) == load8(b + size - 8);
    }
    if (size >= 4) return load4(a) == load4(b) && load4(a + size - 4) == load4(b + size - 4);
    for (Py_ssize_t i = 0; i < size; i++)
        if (a[i] != b[i]) return 0;
    return 1;
}

/* Whether some bytes are UTF-8 (RFC 3629). */
static int is_utf8(cursor p, cursor end) {
    while (p < end) {
        if (end - p >= 8 && !(load8(p) & EVERY(0x80))) {
            p += 8;
            continue;
        }
        unsigned char c = *p++;
        if (c < 0x80) continue;
        int more = c >= 0xF0 ? 3 : c >= 0xE0 ? 2 : 1;
        if (c < 0xC2 || c > 0xF4 || end - p < more) return 0;
        unsigned char low = c == 0xE0 ? 0xA0 : c == 0xF0 ? 0x90 : 0x80;
        unsigned char high = c == 0xED ? 0x9F : c == 0xF4 ? 0x8F : 0xBF;
        if (*p < low || *p > high) return 0;
        for (int i = 1; i < more; i++)
            if ((p[i] & 0xC0) != 0x80) return 0;
        p += more;
    }
    return 1;
}

/* --- numbers ---------------------------------------------------------------------------- */

static const double POWERS[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

/* digits / 10^places, correctly rounded, where digits > 2^53 and 10^places < 2^64; negative where
 * the quotient has too few bits to tell. */
static double divide(uint64_t digits, int places) {
    uint64_t by = 1;
    for (int i = 0; i < places; i++) by *= 10;
    unsigned __int128 dividend = (unsigned __int128)digits << 63;
    unsigned __int128 quotient = dividend / by;
    uint64_t high = (uint64_t)(quotient >> 64), low = (uint64_t)quotient;
    int bits = high ? 128 - __builtin_clzll(high) : 64 - __builtin_clzll(low);
    int drop = bits - 54; /* of what is kept, one bit is to round by */
    if (drop < 1) return -1.0;
    uint64_t kept = (uint64_t)(quotient >> drop);
    int rest = (quotient & (((unsigned __int128)1 << drop) - 1)) != 0 || dividend % by != 0;
    kept = (kept >> 1) + (kept & 1 & (rest | (kept >> 1 & 1)));
    return ldexp((double)kept, drop + 1 - 63);
}

/* The number that digits, a power of ten and a sign make: NaN where that is left to the slow way. */
static inline double scaled(uint64_t digits, int significant, int exponent, int negative) {
    double size = Py_NAN;
    if (digits == 0 && significant < 20) {
        size = 0.0;
    } else if (significant < 20 && exponent >= -22 && exponent <= 22 && digits <= 1ULL << 53) {
        /* Both are exact, so one operation rounds once (Clinger, 1990). */
        size = exponent < 0 ? (double)digits / POWERS[-exponent] : (double)digits * POWERS[exponent];
    } else if (significant < 20 && exponent >= -19 && exponent <= 0 && digits > 1ULL << 53) {
        size = exponent ? divide(digits, -exponent) : (double)digits;
        if (size < 0.0) size = Py_NAN;
    }
    return negative ? -size : size;
}

/* The end of the decimal that begins somewhere, and its value; NULL where there is none.
 *
 * As JSON writes it; where `text`, as Python does, with a plus sign, more zeros, or digits on one
 * side of the point alone. The value is NaN where it is left to the slow way. */
static inline cursor read_decimal(cursor p, cursor end, int text, double *value) {
    int negative = p < end && *p == '-';
    if (p < end && (*p == '-' || (text && *p == '+'))) p++;
    uint64_t digits = 0;
    int significant = 0, exponent = 0;
    cursor whole = p;
    for (; p < end && *p >= '0' && *p <= '9'; p++) {
        if (significant < 19) {
            digits = digits * 10 + (*p - '0');
            significant += digits != 0;
        } else {
            significant = 20;
            exponent++;
        }
    }
    Py_ssize_t before = p - whole, after = 0;
    if (!text && (!before || (before > 1 && *whole == '0'))) return NULL;
    if (p < end && *p == '.') {
        cursor part = ++p;
        for (; p < end && *p >= '0' && *p <= '9'; p++) {
            if (significant < 19) {
                digits = digits * 10 + (*p - '0');
                significant += digits != 0;
                exponent--;
            } else {
                significant = 20;
            }
        }
        after = p - part;
        if (!text && !after) return NULL;
    }
    if (!before && !after) return NULL;
    if (p < end && (*p | 32) == 'e') {
        int sign = 1, power = 0;
        p++;
        if (p < end && (*p == '+' || *p == '-')) sign = *p++ == '-' ? -1 : 1;
        cursor first = p;
        for (; p < end && *p >= '0' && *p <= '9'; p++)
            if (power < 100000) power = power * 10 + (*p - '0');
        if (p == first) return NULL;
        exponent += sign * power;
    }
    *value = scaled(digits, significant, exponent, negative);
    return p;
}

/* What a decimal says that has any number of digits and any exponent: too large is infinite, and
 * what Python must be asked about is NaN. */
static double long_decimal(cursor p, cursor end) {
    char copy[1100];
    Py_ssize_t size = end - p;
    if (size >= (Py_ssize_t)sizeof copy) return Py_NAN;
    memcpy(copy, p, (size_t)size);
    copy[size] = 0;
    double value = PyOS_string_to_double(copy, NULL, NULL);
    if (value == -1.0 && PyErr_Occurred()) {
        PyErr_Clear();
        return Py_NAN;
    }
    return value;
}

/* --- JSON (RFC 8259) -------------------------------------------------------------------- */

typedef struct entry {
    const char *key;
    Py_ssize_t size;
    int slot;   /* where its value goes, or -1 */
    int child;  /* the node of what it holds, or -1 */
    int shared; /* another key has the same slot: a row that has both is unusual */
} entry;

typedef struct node {
    entry *entries;
    int size;
    int lenient; /* what isn't known in it is of no interest */
} node;

typedef struct {
    PyObject_HEAD
    PyObject *keys; /* the bytes that entries point to */
    node *nodes;
    int size;
    int slots;
    int others; /* the slot of unknown keys, or -1: a line that has one is unusual */
} Shape;

typedef struct {
    const Shape *shape;
    cursor base;
    int32_t *starts, *lengths;
    uint8_t *kinds;
    double *values;
    Py_ssize_t capacity;
    Py_ssize_t row;
} scan;

/* A line ends at a line feed or where the data does; every function below gives NULL for what is
 * unusual, and otherwise where it came to. */

static inline cursor skip_spaces(cursor p, cursor end) {
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\r')) p++;
    return p;
}

static int hex4(cursor p) {
    int value = 0;
    for (int i = 0; i < 4; i++) {
        int c = p[i];
        int digit = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
        if (digit < 0) return -1;
        value = value * 16 + digit;
    }
    return value;
}

/* From behind the opening quote to behind the closing one. */
static cursor scan_string(cursor p, cursor end, int *escaped) {
    cursor begin = p;
    int ascii = 1;
    *escaped = 0;
    for (;;) {
        while (end - p >= 8) {
            uint64_t word = load8(p);
            uint64_t marks = HAS_ZERO(word ^ EVERY('"')) | HAS_ZERO(word ^ EVERY('\\')) | HAS_CONTROL(word) |
                             (word & EVERY(0x80));
            if (marks) {
                p += before_mark(marks);
                break;
            }
            p += 8;
        }
        if (p >= end) return NULL;
        unsigned char c = *p++;
        if (c == '"') break;
        if (c < 0x20) return NULL;
        if (c >= 0x80) {
            ascii = 0;
        } else if (c == '\\') {
            *escaped = 1;
            if (p >= end) return NULL;
            c = *p++;
            if (c == 'u') {
                int unit = end - p < 4 ? -1 : hex4(p);
                if (unit < 0 || (unit >= 0xDC00 && unit < 0xE000)) return NULL;
                p += 4;
                if (unit >= 0xD800 && unit < 0xDC00) { /* the first half of a pair */
                    int second = end - p < 6 || p[0] != '\\' || p[1] != 'u' ? -1 : hex4(p + 2);
                    if (second < 0xDC00 || second >= 0xE000) return NULL;
                    p += 6;
                }
            } else if (!c || !strchr("\"\\/bfnrt", c)) {
                return NULL;
            }
        }
    }
    return ascii || is_utf8(begin, p) ? p : NULL;
}

static cursor scan_word(cursor p, cursor end, const char *word) {
    size_t size = strlen(word);
    return (size_t)(end - p) >= size && !memcmp(p, word, size) ? p + size : NULL;
}

static cursor skip_value(cursor p, cursor end, int *kind, double *value, int depth);

/* An object or a list of which nothing is wanted, from its opening bracket on. */
static cursor skip_nested(cursor p, cursor end, int depth) {
    int is_object = *p++ == '{', escaped, kind;
    double value;
    unsigned char close = is_object ? '}' : ']';
    if (depth >= DEEPEST) return NULL;
    p = skip_spaces(p, end);
    if (p < end && *p == close) return p + 1;
    for (;;) {
        if (is_object) {
            if (p >= end || *p != '"' || !(p = scan_string(p + 1, end, &escaped))) return NULL;
            p = skip_spaces(p, end);
            if (p >= end || *p++ != ':') return NULL;
            p = skip_spaces(p, end);
        }
        if (!(p = skip_value(p, end, &kind, &value, depth + 1))) return NULL;
        p = skip_spaces(p, end);
        if (p >= end) return NULL;
        if (*p == close) return p + 1;
        if (*p++ != ',') return NULL;
        p = skip_spaces(p, end);
    }
}

/* `value` is that of a number. */
static cursor skip_value(cursor p, cursor end, int *kind, double *value, int depth) {
    int escaped;
    if (p >= end) return NULL;
    switch (*p) {
    case '"':
        p = scan_string(p + 1, end, &escaped);
        *kind = escaped ? ESCAPED : TEXT;
        return p;
    case '{':
        *kind = OBJECT;
        return skip_nested(p, end, depth);
    case '[':
        *kind = ARRAY;
        return skip_nested(p, end, depth);
    case 't':
        *kind = TRUE_;
        return scan_word(p, end, "true");
    case 'f':
        *kind = FALSE_;
        return scan_word(p, end, "false");
    case 'n':
        *kind = NULL_;
        return scan_word(p, end, "null");
    default:
        *kind = NUMBER;
        return read_decimal(p, end, 0, value);
    }
}

static inline void put(scan *s, int slot, cursor start, cursor end, int kind, double value) {
    Py_ssize_t at = slot * s->capacity + s->row;
    s->starts[at] = (int32_t)(start - s->base);
    s->lengths[at] = (int32_t)(end - start);
    s->kinds[at] = (uint8_t)kind;
    if (kind == NUMBER) s->values[at] = isnan(value) ? long_decimal(start, end) : value;
}

/* Which entry has a key; keys mostly come in the order in which they are expected. */
static const entry *find(const node *n, cursor key, Py_ssize_t size, int *expected) {
    for (int i = 0, at = *expected; i < n->size; i++, at++) {
        if (at >= n->size) at = 0;
        const entry *e = &n->entries[at];
        if (e->size == size && same((cursor)e->key, key, size)) {
            *expected = at + 1;
            return e;
        }
    }
    return NULL;
}

/* Of a name that occurs twice in an object the last value counts, whatever the first one held. It is
 * unusual where the values may be another key's. */
static int clear(scan *s, int number) {
    const node *n = &s->shape->nodes[number];
    for (int i = 0; i < n->size; i++) {
        const entry *e = &n->entries[i];
        if (e->slot >= 0) {
            uint8_t *kind = &s->kinds[e->slot * s->capacity + s->row];
            if (e->shared && *kind != ABSENT) return 0;
            *kind = ABSENT;
        }
        if (e->child >= 0 && !clear(s, e->child)) return 0;
    }
    return 1;
}

static cursor scan_node(scan *s, int number, cursor p, cursor end, int depth);

static cursor scan_member(scan *s, const entry *e, int lenient, cursor p, cursor end, int depth) {
    int kind;
    double value;
    cursor start = p;
    if (e && e->child >= 0 && !clear(s, e->child)) return NULL;
    if (e && e->child >= 0 && p < end && (*p == '{' || (*p == '[' && s->shape->nodes[e->child].lenient))) {
        kind = *p == '{' ? OBJECT : ARRAY;
        p = scan_node(s, e->child, p, end, depth + 1);
    } else {
        p = skip_value(p, end, &kind, &value, depth + 1);
    }
    if (!p) return NULL;
    if (!e) {
        if (lenient) return p;
        if (s->shape->others < 0) return NULL;
        put(s, s->shape->others, start, p, kind, value);
    } else if (e->slot >= 0) {
        if (e->shared && s->kinds[e->slot * s->capacity + s->row] != ABSENT) return NULL;
        int quote = kind == TEXT || kind == ESCAPED;
        put(s, e->slot, start + quote, p - quote, kind, value);
    }
    return p;
}

/* An object, or a list whose elements have their numbers for keys, from its opening bracket on. */
static cursor scan_node(scan *s, int number, cursor p, cursor end, int depth) {
    const node *n = &s->shape->nodes[number];
    int is_object = *p++ == '{', expected = 0, escaped;
    unsigned char close = is_object ? '}' : ']';
    if (depth >= DEEPEST) return NULL;
    p = skip_spaces(p, end);
    if (p < end && *p == close) return p + 1;
    for (int index = 0;; index++) {
        const entry *e;
        if (is_object) {
            if (p >= end || *p != '"') return NULL;
            cursor key = p + 1;
            e = expected < n->size ? &n->entries[expected] : NULL;
            if (e && end - key > e->size && key[e->size] == '"' && same(key, (cursor)e->key, e->size)) {
                p = key + e->size + 1;
                expected++;
            } else {
                if (!(p = scan_string(key, end, &escaped)) || escaped) return NULL;
                e = find(n, key, p - 1 - key, &expected);
            }
            p = skip_spaces(p, end);
            if (p >= end || *p++ != ':') return NULL;
            p = skip_spaces(p, end);
        } else {
            char key[12];
            int size = snprintf(key, sizeof key, "%d", index);
            e = find(n, (cursor)key, size, &expected);
        }
        if (!(p = scan_member(s, e, n->lenient, p, end, depth))) return NULL;
        p = skip_spaces(p, end);
        if (p >= end) return NULL;
        if (*p == close) return p + 1;
        if (*p++ != ',') return NULL;
        p = skip_spaces(p, end);
    }
}

static void Shape_dealloc(Shape *self) {
    for (int i = 0; i < self->size; i++) PyMem_Free(self->nodes[i].entries);
    PyMem_Free(self->nodes);
    Py_XDECREF(self->keys);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyObject *Shape_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyObject *nodes;
    int slots, others;
    static char *names[] = {"nodes", "slots", "others", NULL};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!ii", names, &PyTuple_Type, &nodes, &slots, &others))
        return NULL;
    int size = (int)PyTuple_GET_SIZE(nodes);
    if (size < 1 || slots < 0 || others >= slots) {
        PyErr_SetString(PyExc_ValueError, "a shape has a node, and slots for what it holds");
        return NULL;
    }
    Shape *self = (Shape *)type->tp_alloc(type, 0);
    if (!self) return NULL;
    self->slots = slots;
    self->others = others;
    self->keys = Py_NewRef(nodes);
    if (!(self->nodes = PyMem_Calloc((size_t)size, sizeof(node)))) goto fail;
    self->size = size;
    for (int i = 0; i < size; i++) {
        PyObject *entries;
        node *n = &self->nodes[i];
        if (!PyArg_ParseTuple(PyTuple_GET_ITEM(nodes, i), "pO!", &n->lenient, &PyTuple_Type, &entries)) goto fail;
        int count = (int)PyTuple_GET_SIZE(entries);
        if (!(n->entries = PyMem_Calloc((size_t)count + 1, sizeof(entry)))) goto fail;
        for (; n->size < count; n->size++) {
            entry *e = &n->entries[n->size];
            if (!PyArg_ParseTuple(PyTuple_GET_ITEM(entries, n->size), "y#iip", &e->key, &e->size, &e->slot, &e->child, &e->shared))
                goto fail;
            if (e->slot >= slots || e->child >= size || (e->child >= 0 && e->child <= i)) {
                PyErr_SetString(PyExc_ValueError, "an entry points outside the shape");
                goto fail;
            }
        }
    }
    return (PyObject *)self;
fail:
    if (!PyErr_Occurred()) PyErr_NoMemory();
    Py_DECREF(self);
    return NULL;
}

static PyTypeObject ShapeType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "ml_exporter.formats._scanner.Shape",
    .tp_doc = "Which keys of an object are wanted: ((lenient, ((key, slot, child, shared), ...)), ...).",
    .tp_basicsize = sizeof(Shape),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = Shape_new,
    .tp_dealloc = (destructor)Shape_dealloc,
};

/* --- buffers ---------------------------------------------------------------------------- */

typedef struct {
    Py_buffer data, starts, lengths, kinds, values; /* values only while scanning */
    Py_ssize_t rows;
} spans;

static void release(spans *s) {
    PyBuffer_Release(&s->values);
    PyBuffer_Release(&s->data);
    PyBuffer_Release(&s->starts);
    PyBuffer_Release(&s->lengths);
    PyBuffer_Release(&s->kinds);
}

/* Whether the arrays belong together, and data is short enough for their numbers. */
static int check(spans *s) {
    s->rows = s->kinds.len;
    int alike = s->starts.len == s->rows * 4 && s->lengths.len == s->rows * 4;
    if (alike && (!s->values.obj || s->values.len == s->rows * 8) && s->data.len <= INT32_MAX) return 1;
    PyErr_SetString(PyExc_ValueError, "spans are arrays of int32, int32, uint8 and float64 of one size");
    release(s);
    return 0;
}

/* Whether every span lies within the data: they may have been put together by anybody. */
static int check_spans(spans *s) {
    const int32_t *starts = s->starts.buf, *lengths = s->lengths.buf;
    const uint32_t size = (uint32_t)s->data.len;
    uint32_t outside = 0;
    for (Py_ssize_t row = 0; row < s->rows; row++) {
        uint32_t start = (uint32_t)starts[row], length = (uint32_t)lengths[row];
        outside |= (start > size) | (length > size - start); /* less than nothing is very much */
    }
    if (!outside) return 1;
    PyErr_SetString(PyExc_ValueError, "a span lies outside the data");
    release(s);
    return 0;
}

/* --- scanning --------------------------------------------------------------------------- */

PyDoc_STRVAR(scan_json_doc,
"scan_json(shape, data, offset, row, starts, lengths, kinds, values) -> (offset, row)\n\n"
"Scan lines from an offset on, filling the arrays from a row on, up to the end of the data, an\n"
"unusual line, or the end of the arrays. Arrays are (slots, capacity); kinds must be zero. Values\n"
"are the numbers that numbers say, NaN where Python must be asked, and undefined for other kinds.");

static PyObject *scan_json(PyObject *module, PyObject *args) {
    Shape *shape;
    Py_ssize_t offset, row;
    spans in = {0};
    if (!PyArg_ParseTuple(args, "O!y*nnw*w*w*w*", &ShapeType, &shape, &in.data, &offset, &row, &in.starts, &in.lengths, &in.kinds, &in.values))
        return NULL;
    if (!check(&in)) return NULL;
    Py_ssize_t capacity = shape->slots ? in.rows / shape->slots : 0;
    if (!capacity || in.rows % shape->slots || offset < 0 || offset > in.data.len || row < 0) {
        PyErr_SetString(PyExc_ValueError, "the arrays don't have the shape's slots");
        release(&in);
        return NULL;
    }
    cursor base = in.data.buf, end = base + in.data.len, line = base + offset;
    scan s = {shape, base, in.starts.buf, in.lengths.buf, in.kinds.buf, in.values.buf, capacity, row};
    while (line < end && s.row < capacity) {
        cursor p = skip_spaces(line, end);
        if (p < end && *p == '\n') {
            line = p + 1;
            continue;
        }
        if (p == end) {
            line = end;
            break;
        }
        p = *p == '{' ? scan_node(&s, 0, p, end, 0) : NULL;
        if (p) p = skip_spaces(p, end);
        if (!p || (p < end && *p != '\n') || p - line > LONGEST_ROW) {
            for (int slot = 0; slot < shape->slots; slot++) s.kinds[slot * capacity + s.row] = ABSENT;
            break;
        }
        s.row++;
        line = p < end ? p + 1 : end;
    }
    release(&in);
    return Py_BuildValue("nn", (Py_ssize_t)(line - base), s.row);
}

PyDoc_STRVAR(match_doc,
"match(parts, sizes, nullable, data, begins, ends, starts, lengths, kinds, values, matched) -> None\n\n"
"Find texts of JSON that are alike but for their single values: the first of the parts, a value, the\n"
"next part, and so on, and spaces behind the last. `sizes` are those of the parts, `nullable` says of\n"
"each value whether it may be null, and texts are from their begin to their end in the data. Arrays\n"
"are (values, texts). `matched` is 1 for a text that is so, and 0 for any other, whose spans mean\n"
"nothing.");

static PyObject *match(PyObject *module, PyObject *args) {
    Py_buffer parts, sizes, nullable, begins, ends, matched;
    spans in = {0};
    if (!PyArg_ParseTuple(args, "y*y*y*y*y*y*w*w*w*w*w*", &parts, &sizes, &nullable, &in.data, &begins, &ends, &in.starts, &in.lengths, &in.kinds, &in.values, &matched))
        return NULL;
    PyObject *result = NULL;
    if (!check(&in)) goto done;
    const int32_t *size = sizes.buf, *begin = begins.buf, *stop = ends.buf;
    const uint8_t *may_be_null = nullable.buf;
    uint8_t *is_match = matched.buf;
    Py_ssize_t values = nullable.len, texts = matched.len, total = 0;
    int sound = sizes.len == (values + 1) * 4 && begins.len == texts * 4 && ends.len == texts * 4;
    sound = sound && in.rows == values * texts;
    for (Py_ssize_t i = 0; sound && i <= values; i++) {
        sound = size[i] >= 0;
        total += size[i];
    }
    for (Py_ssize_t i = 0; sound && i < texts; i++)
        sound = begin[i] >= 0 && begin[i] <= stop[i] && stop[i] <= in.data.len;
    if (!sound || total != parts.len) {
        PyErr_SetString(PyExc_ValueError, "parts, values and texts don't belong together");
        goto release;
    }
    cursor base = in.data.buf;
    scan s = {NULL, base, in.starts.buf, in.lengths.buf, in.kinds.buf, in.values.buf, texts, 0};
    for (; s.row < texts; s.row++) {
        cursor p = base + begin[s.row], end = base + stop[s.row], part = parts.buf;
        is_match[s.row] = 0;
        for (Py_ssize_t i = 0; p && i <= values; i++) {
            if (end - p < size[i] || !same(p, part, size[i])) break;
            p += size[i];
            part += size[i];
            if (i == values) {
                p = skip_spaces(p, end);
                while (p < end && *p == '\n') p = skip_spaces(p + 1, end);
                is_match[s.row] = p == end;
                break;
            }
            int kind;
            double value;
            cursor start = p;
            if (p >= end || *p == '{' || *p == '[' || !(p = skip_value(p, end, &kind, &value, 0))) break;
            if (kind == NULL_ && !may_be_null[i]) break;
            int quote = kind == TEXT || kind == ESCAPED;
            put(&s, (int)i, start + quote, p - quote, kind, value);
        }
    }
    result = Py_NewRef(Py_None);
release:
    release(&in);
done:
    PyBuffer_Release(&parts);
    PyBuffer_Release(&sizes);
    PyBuffer_Release(&nullable);
    PyBuffer_Release(&begins);
    PyBuffer_Release(&ends);
    PyBuffer_Release(&matched);
    return result;
}

static inline int ends_field(cursor p, cursor end, unsigned char delimiter) {
    return p == end || *p == delimiter || *p == '\n' || (*p == '\r' && p + 1 < end && p[1] == '\n');
}

PyDoc_STRVAR(scan_csv_doc,
"scan_csv(delimiter, slots, data, offset, row, starts, lengths, kinds, values) -> (offset, row)\n\n"
"The same of lines of CSV. `slots` is an int32 array: of each column, its slot or -1. Records\n"
"with quotes that are anything but around a whole field of one line are unusual. Values are the\n"
"numbers that texts say, NaN where they say none, or Python must be asked.");

static PyObject *scan_csv(PyObject *module, PyObject *args) {
    unsigned char delimiter;
    Py_buffer columns;
    Py_ssize_t offset, row;
    spans in = {0};
    if (!PyArg_ParseTuple(args, "by*y*nnw*w*w*w*", &delimiter, &columns, &in.data, &offset, &row, &in.starts, &in.lengths, &in.kinds, &in.values))
        return NULL;
    if (!check(&in)) {
        PyBuffer_Release(&columns);
        return NULL;
    }
    const int32_t *slots = columns.buf;
    Py_ssize_t width = columns.len / 4, count = 0;
    for (Py_ssize_t i = 0; i < width; i++)
        if (slots[i] >= count) count = slots[i] + 1;
    if (!count) count = 1; /* rows are counted all the same */
    Py_ssize_t capacity = in.rows / count;
    if (!capacity || in.rows % count || offset < 0 || offset > in.data.len || row < 0) {
        PyErr_SetString(PyExc_ValueError, "the arrays don't have the columns' slots");
        PyBuffer_Release(&columns);
        release(&in);
        return NULL;
    }
    cursor base = in.data.buf, end = base + in.data.len, line = base + offset;
    int32_t *starts = in.starts.buf, *lengths = in.lengths.buf;
    uint8_t *kinds = in.kinds.buf;
    double *values = in.values.buf;
    const uint64_t splitter = EVERY(delimiter);
    while (line < end && row < capacity) {
        cursor p = line;
        if (*p == '\n' || (*p == '\r' && p + 1 < end && p[1] == '\n')) { /* blank */
            line = p + (*p == '\r') + 1;
            continue;
        }
        Py_ssize_t column = 0;
        int usual = 1, ascii = 1;
        for (;;) {
            cursor start, stop;
            int kind = TEXT;
            double value = Py_NAN;
            if (p < end && *p == '"') {
                start = ++p;
                for (;;) {
                    while (p < end && *p != '"' && *p != '\n' && *p != '\r') ascii &= *p++ < 0x80;
                    if (p >= end || *p != '"') {
                        usual = 0;
                        break;
                    }
                    if (p + 1 < end && p[1] == '"') {
                        kind = ESCAPED;
                        p += 2;
                        continue;
                    }
                    break;
                }
                if (!usual) break;
                stop = p++;
                if (!ends_field(p, end, delimiter)) {
                    usual = 0;
                    break;
                }
                if (read_decimal(start, stop, 1, &value) != stop) value = Py_NAN;
                else if (isnan(value)) value = long_decimal(start, stop);
            } else if ((stop = read_decimal(start = p, end, 1, &value)) && ends_field(stop, end, delimiter)) {
                if (isnan(value)) value = long_decimal(start, stop);
                p = stop;
            } else {
                value = Py_NAN; /* what begins like a number needn't be one */
                while (end - p >= 8) {
                    uint64_t word = load8(p);
                    /* A control character, a quote or a byte beyond ASCII is looked at below. */
                    uint64_t marks = HAS_ZERO(word ^ splitter) | HAS_ZERO(word ^ EVERY('"')) | HAS_CONTROL(word) |
                                     (word & EVERY(0x80));
                    if (marks) {
                        p += before_mark(marks);
                        break;
                    }
                    p += 8;
                }
                while (p < end && *p != delimiter && *p != '\n' && *p != '"' && *p != '\r' && *p != 0) ascii &= *p++ < 0x80;
                if (p < end && (*p == '"' || *p == 0 || (*p == '\r' && !(p + 1 < end && p[1] == '\n')))) {
                    usual = 0;
                    break;
                }
                stop = p;
            }
            if (column >= width) {
                usual = 0;
                break;
            }
            if (slots[column] >= 0) {
                Py_ssize_t at = slots[column] * capacity + row;
                starts[at] = (int32_t)(start - base);
                lengths[at] = (int32_t)(stop - start);
                kinds[at] = (uint8_t)kind;
                values[at] = value;
            }
            column++;
            if (p < end && *p == delimiter) {
                p++;
                continue;
            }
            if (p < end && *p == '\r') p++;
            break;
        }
        if (!usual || column != width || p - line > LONGEST_ROW || !(ascii || is_utf8(line, p))) break;
        row++;
        line = p < end ? p + 1 : end;
    }
    Py_ssize_t reached = line - base;
    PyBuffer_Release(&columns);
    release(&in);
    return Py_BuildValue("nn", reached, row);
}

/* --- values ----------------------------------------------------------------------------- */

/* Days since 1970-01-01 of the proleptic Gregorian calendar (Hinnant, "chrono-compatible
 * low-level date algorithms"). */
static int64_t days_of(int year, int month, int day) {
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static int two(cursor p) {
    return p[0] >= '0' && p[0] <= '9' && p[1] >= '0' && p[1] <= '9' ? (p[0] - '0') * 10 + p[1] - '0' : -1;
}

/* Seconds since 1970 of 2026-11-24T13:35:54[.123456][Z|+01:00]: 1, or 0 for any other text. */
static int moment(cursor p, cursor end, double *seconds) {
    static const int DAYS[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (end - p < 19 || p[4] != '-' || p[7] != '-' || (p[10] != 'T' && p[10] != ' ') || p[13] != ':' || p[16] != ':')
        return 0;
    int century = two(p), years = two(p + 2), month = two(p + 5), day = two(p + 8);
    int hour = two(p + 11), minute = two(p + 14), second = two(p + 17);
    if (century < 0 || years < 0 || month < 1 || month > 12 || day < 1 || hour < 0 || hour > 23 || minute < 0 ||
        minute > 59 || second < 0 || second > 59)
        return 0;
    int year = century * 100 + years, leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    if (year < 1 || day > DAYS[month - 1] + (month == 2 && leap)) return 0;
    int64_t micros = 0;
    p += 19;
    if (p < end && *p == '.') {
        int place = 0;
        for (p++; p < end && *p >= '0' && *p <= '9'; p++, place++)
            if (place < 6) micros = micros * 10 + (*p - '0');
        if (place != 3 && place < 6) return 0;
        for (; place < 6; place++) micros *= 10;
    }
    int64_t offset = 0;
    if (p < end && *p == 'Z') {
        p++;
    } else if (end - p == 6 && (*p == '+' || *p == '-') && p[3] == ':') {
        int hours = two(p + 1), minutes = two(p + 4);
        if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59) return 0;
        offset = (hours * 60 + minutes) * (*p == '-' ? -60 : 60);
        p += 6;
    }
    if (p != end) return 0;
    int64_t total = days_of(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset;
    total = total * 1000000 + micros;
    if (total > 1LL << 53 || total < -(1LL << 53)) return 0; /* microseconds that no double has */
    *seconds = (double)total / 1e6;
    return 1;
}

PyDoc_STRVAR(moments_doc,
"moments(data, starts, lengths, kinds, seconds) -> [row, ...]\n\n"
"Fill a float64 array with the seconds since 1970 of ISO 8601 texts, NaN where a value is none.\n"
"Rows in the list have a value that isn't such a text, and are left to the caller.");

static PyObject *moments(PyObject *module, PyObject *args) {
    spans in = {0};
    Py_buffer out;
    if (!PyArg_ParseTuple(args, "y*y*y*y*w*", &in.data, &in.starts, &in.lengths, &in.kinds, &out)) return NULL;
    if (!check(&in) || !check_spans(&in)) {
        PyBuffer_Release(&out);
        return NULL;
    }
    PyObject *rest = PyList_New(0), *result = NULL;
    if (!rest) goto done;
    if (out.len != in.rows * 8) {
        PyErr_SetString(PyExc_ValueError, "seconds must have a float64 for each row");
        goto done;
    }
    const int32_t *starts = in.starts.buf, *lengths = in.lengths.buf;
    const uint8_t *kinds = in.kinds.buf;
    cursor base = in.data.buf;
    double *seconds = out.buf;
    for (Py_ssize_t row = 0; row < in.rows; row++) {
        int kind = kinds[row];
        cursor start = base + starts[row];
        if (row + AHEAD < in.rows) __builtin_prefetch(base + starts[row + AHEAD]);
        seconds[row] = Py_NAN;
        if (kind == ABSENT || kind == NULL_ || (kind == TEXT && !lengths[row])) continue;
        if (kind == TEXT && moment(start, start + lengths[row], &seconds[row])) continue;
        PyObject *number = PyLong_FromSsize_t(row);
        if (!number || PyList_Append(rest, number) < 0) {
            Py_XDECREF(number);
            goto done;
        }
        Py_DECREF(number);
    }
    result = Py_NewRef(rest);
done:
    Py_XDECREF(rest);
    PyBuffer_Release(&out);
    release(&in);
    return result;
}

/* The first eight bytes of a text, zeros behind a shorter one. */
static inline uint64_t beginning(cursor p, int32_t size, cursor end) {
    uint64_t word = 0;
    if (end - p < 8) {
        memcpy(&word, p, (size_t)(size < 8 ? size : 8));
        return word;
    }
    word = load8(p);
    if (size >= 8) return word;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return word & ((1ULL << 8 * size) - 1);
#else
    return size ? word & ~(~0ULL >> 8 * size) : 0;
#endif
}

static inline uint64_t mixed(uint64_t hash, uint64_t word) {
    unsigned __int128 product = (unsigned __int128)(hash ^ word) * 0x9E3779B97F4A7C15ULL;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* The bytes of a text behind the first eight. */
static inline uint64_t with_rest(uint64_t hash, cursor p, int32_t size) {
    for (p += 8, size -= 8; size >= 8; p += 8, size -= 8) hash = mixed(hash, load8(p));
    uint64_t word = 0;
    memcpy(&word, p, (size_t)size);
    return mixed(hash, word);
}

typedef struct {
    uint64_t word;  /* the first eight bytes */
    uint64_t shape; /* length and kind */
    cursor text;
} value;

PyDoc_STRVAR(distinct_doc,
"distinct(seed, data, starts, lengths, kinds, codes, firsts) -> int\n\n"
"Number the distinct values: fill int32 arrays with the number of each row's, and with the first\n"
"row that has each. How many there are is returned. `seed` is secret: nobody can make hashes meet.");

static PyObject *distinct(PyObject *module, PyObject *args) {
    unsigned long long seed;
    spans in = {0};
    Py_buffer out, first;
    if (!PyArg_ParseTuple(args, "Ky*y*y*y*w*w*", &seed, &in.data, &in.starts, &in.lengths, &in.kinds, &out, &first))
        return NULL;
    if (!check(&in) || !check_spans(&in)) {
        PyBuffer_Release(&out);
        PyBuffer_Release(&first);
        return NULL;
    }
    PyObject *result = NULL;
    size_t size = 64;
    while (size < (size_t)in.rows * 2) size *= 2;
    int32_t *table = NULL;
    value *known = NULL;
    if (out.len != in.rows * 4 || first.len != in.rows * 4) {
        PyErr_SetString(PyExc_ValueError, "codes and firsts must have an int32 for each row");
        goto done;
    }
    table = PyMem_Malloc(size * sizeof *table);
    known = PyMem_Malloc((size_t)in.rows * sizeof *known);
    if (!table || !known) {
        PyErr_NoMemory();
        goto done;
    }
    memset(table, 0xFF, size * sizeof *table);
    const int32_t *starts = in.starts.buf, *lengths = in.lengths.buf;
    const uint8_t *kinds = in.kinds.buf;
    cursor base = in.data.buf, end = base + in.data.len;
    int32_t *codes = out.buf, *firsts = first.buf, count = 0;
    for (Py_ssize_t row = 0; row < in.rows; row++) {
        cursor p = base + starts[row];
        int32_t length = lengths[row];
        if (row + AHEAD < in.rows) __builtin_prefetch(base + starts[row + AHEAD]);
        value v = {beginning(p, length, end), (uint64_t)length << 8 | kinds[row], p};
        uint64_t hash = mixed(seed ^ v.shape, v.word);
        if (length > 8) hash = with_rest(hash, p, length);
        for (size_t at = (size_t)hash & (size - 1);; at = (at + 1) & (size - 1)) {
            int32_t code = table[at];
            if (code < 0) {
                table[at] = code = count++;
                known[code] = v;
                firsts[code] = (int32_t)row;
            } else if (known[code].word != v.word || known[code].shape != v.shape ||
                       (length > 8 && !same(known[code].text + 8, p + 8, length - 8))) {
                continue;
            }
            codes[row] = code;
            break;
        }
    }
    result = PyLong_FromLong(count);
done:
    PyMem_Free(known);
    PyMem_Free(table);
    PyBuffer_Release(&out);
    PyBuffer_Release(&first);
    release(&in);
    return result;
}

static PyMethodDef METHODS[] = {
    {"scan_json", scan_json, METH_VARARGS, scan_json_doc},
    {"scan_csv", scan_csv, METH_VARARGS, scan_csv_doc},
    {"match", match, METH_VARARGS, match_doc},
    {"moments", moments, METH_VARARGS, moments_doc},
    {"distinct", distinct, METH_VARARGS, distinct_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef MODULE = {
    PyModuleDef_HEAD_INIT,
    .m_name = "ml_exporter.formats._scanner",
    .m_doc = "Where the values of a log's rows stand, and what they say.",
    .m_size = -1,
    .m_methods = METHODS,
};

PyMODINIT_FUNC PyInit__scanner(void) {
    if (PyType_Ready(&ShapeType) < 0) return NULL;
    PyObject *module = PyModule_Create(&MODULE);
    if (module && PyModule_AddObjectRef(module, "Shape", (PyObject *)&ShapeType) < 0) Py_CLEAR(module);
    return module;
}
