/* Plain exchanges: a request and an answer that each come whole, with nothing unusual in their heads.
 *
 * heads.py says what a head is, client.py and upstream.py what becomes of it, observation.py and
 * capture.py what is learned; this does the usual ones at speed. Whatever is in some way unusual is
 * left to them. So nothing here refuses anything, and what is accepted here is accepted there,
 * and forwarded, counted and copied as they would.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <math.h>
#include <stdint.h>
#include <string.h>
#include <structmember.h>
#include <time.h>

#define LARGEST_HEAD (16 << 10)
#define MOST_BUCKETS 32

typedef const unsigned char *cursor;

/* --- heads ------------------------------------------------------------------------------ */

enum { TOKEN = 1, VALUE = 2, TARGET = 4, HOST = 8 };

static unsigned char CLASSES[256], LOWER[256];

static void fill_tables(void) {
    for (int c = 0; c < 256; c++) {
        int letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'z' && c < 0x80, digit = c >= '0' && c <= '9';
        int any = letter || digit;
        LOWER[c] = (unsigned char)(letter ? c | 0x20 : c);
        CLASSES[c] = (unsigned char)((any || (c && strchr("!#$%&'*+-.^_`|~", c)) ? TOKEN : 0) |
                                     (c == '\t' || (c >= 0x20 && c != 0x7F) ? VALUE : 0) |
                                     (c > 0x20 && c != 0x7F ? TARGET : 0) |
                                     (any || (c && strchr("-_.~%!$&'()*+,;=[]:", c)) ? HOST : 0));
    }
}

static inline cursor skip(cursor p, cursor end, int class) {
    while (p < end && CLASSES[*p] & class) p++;
    return p;
}

/* Whether a text is a name, which is in lower case, whatever its own case. */
static inline int is(cursor p, Py_ssize_t size, const char *name, Py_ssize_t length) {
    if (size != length) return 0;
    for (Py_ssize_t i = 0; i < size; i++)
        if (LOWER[p[i]] != (unsigned char)name[i]) return 0;
    return 1;
}
#define IS(p, size, name) is(p, size, name, (Py_ssize_t)sizeof name - 1)

typedef struct {
    int hosts, lengths, protos; /* fields of these names */
    Py_ssize_t length;
    cursor via, via_end;   /* who the request came by so far, or NULL */
    cursor line, line_end; /* the field that says so */
} framing;

static int read_length(cursor p, cursor end, framing *said) {
    if (p == end || end - p > 15 || said->lengths++) return 0;
    said->length = 0;
    for (; p < end; p++) {
        if (*p < '0' || *p > '9') return 0;
        said->length = said->length * 10 + (*p - '0');
    }
    return 1;
}

/* Whether a field is as most are: no more is to be known of it than `said` then says. */
static int is_plain(cursor name, Py_ssize_t size, cursor value, cursor end, int asks, framing *said) {
    while (value < end && (*value == ' ' || *value == '\t')) value++;
    while (end > value && (end[-1] == ' ' || end[-1] == '\t')) end--;
    switch (size) {
    case 10:
        if (IS(name, size, "connection")) return IS(value, end - value, "keep-alive");
        return !(asks && IS(name, size, "keep-alive"));
    case 14:
        if (IS(name, size, "content-length")) return read_length(value, end, said);
        if (!asks) return 1;
        return !IS(name, size, "content_length") && !IS(name, size, "http2-settings");
    case 17:
        if (IS(name, size, "transfer-encoding")) return 0;
        if (!asks) return 1;
        said->protos += IS(name, size, "x-forwarded-proto");
        return !IS(name, size, "transfer_encoding");
    case 15:
        if (!asks || !IS(name, size, "x-forwarded-for")) return 1;
        if (said->via) return 0;
        said->line = name;
        said->via = value;
        said->via_end = end;
        return 1;
    }
    if (!asks) return 1;
    if (IS(name, size, "host")) return skip(value, end, HOST) == end && !said->hosts++;
    if (size > 6 && IS(name, 6, "proxy-")) return 0;
    return !IS(name, size, "upgrade");
}

/* Where the head ends whose fields begin here; NULL where it doesn't, or isn't plain. */
static cursor read_fields(cursor p, cursor end, int asks, framing *said) {
    for (;;) {
        if (end - p < 2) return NULL;
        if (p[0] == '\r') return p[1] == '\n' ? p + 2 : NULL;
        cursor name = p;
        p = skip(p, end, TOKEN);
        if (p == name || p == end || *p != ':') return NULL;
        cursor value = p + 1;
        p = skip(value, end, VALUE);
        if (end - p < 2 || p[0] != '\r' || p[1] != '\n') return NULL;
        if (!is_plain(name, value - 1 - name, value, p, asks, said)) return NULL;
        p += 2;
        if (said->line == name) said->line_end = p;
    }
}

static const char *const METHODS[] = {"POST ", "PUT ", "PATCH ", "DELETE "};
#define METHODS_COUNT 4

typedef struct {
    int method;
    cursor target;
    Py_ssize_t target_size;
    Py_ssize_t head; /* bytes */
    framing said;
} request_head;

/* Whether some bytes are one request with a plain head. */
static int read_request(cursor p, Py_ssize_t size, request_head *line) {
    static const char version[] = " HTTP/1.1\r\n";
    const Py_ssize_t rest = sizeof version - 1;
    cursor start = p, end = p + (size < LARGEST_HEAD ? size : LARGEST_HEAD);
    for (line->method = 0;; line->method++) {
        if (line->method == METHODS_COUNT) return 0;
        Py_ssize_t length = (Py_ssize_t)strlen(METHODS[line->method]);
        if (size > length && !memcmp(p, METHODS[line->method], (size_t)length)) {
            p += length;
            break;
        }
    }
    line->target = p;
    if (*p != '/') return 0;
    p = skip(p, end, TARGET);
    line->target_size = p - line->target;
    if (end - p < rest || memcmp(p, version, (size_t)rest)) return 0;
    line->said = (framing){0};
    p = read_fields(p + rest, end, 1, &line->said);
    if (!p || line->said.hosts != 1) return 0;
    line->head = p - start;
    return size - line->head == line->said.length;
}

/* The status of an answer with a plain head, and how long that is; 0 where it isn't one. */
static int read_answer(cursor p, Py_ssize_t size, Py_ssize_t *head) {
    static const char version[] = "HTTP/1.1 ";
    cursor start = p, end = p + (size < LARGEST_HEAD ? size : LARGEST_HEAD);
    if (size < 15 || memcmp(p, version, sizeof version - 1)) return 0;
    p += sizeof version - 1;
    if (*p < '2' || *p > '5' || p[1] < '0' || p[1] > '9' || p[2] < '0' || p[2] > '9') return 0;
    int status = (p[0] - '0') * 100 + (p[1] - '0') * 10 + (p[2] - '0');
    if (status == 204 || status == 304) return 0;
    p += 3;
    if (*p == ' ') p = skip(p, end, VALUE);
    if (end - p < 2 || p[0] != '\r' || p[1] != '\n') return 0;
    framing said = {0};
    p = read_fields(p + 2, end, 0, &said);
    if (!p || said.lengths != 1 || size - (p - start) != said.length) return 0;
    *head = p - start;
    return status;
}

/* --- what is learned -------------------------------------------------------------------- */

enum { BUFFER_FULL, TOO_LARGE, RATE }; /* the first of DROP_REASONS */
enum { FAILED = 500 };                 /* as capture.py has it */

/* As capture.py has it. */
typedef struct __attribute__((packed)) {
    uint32_t size;
    uint16_t model, status;
    double time;
    float duration, upstream, first;
    uint32_t lengths[4];
} frame;

typedef struct {
    PyObject_HEAD
    PyObject *routes;              /* a target to its model's place; below 0 there is none */
    Py_buffer offsets, data, counts; /* of the buffer, and what is counted beside it */
    int written, read;             /* places of the offsets */
    Py_ssize_t first, of_model, of_requests; /* cells: see request_counts.py */
    Py_ssize_t methods[METHODS_COUNT];
    Py_ssize_t buckets_count;
    double buckets[MOST_BUCKETS];
    Py_ssize_t body_limit;
    double share, allowed, failures, clock;
    uint64_t random;
} Recorder;

static double now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + (double)at.tv_nsec * 1e-9;
}

static int is_chosen(Recorder *self) {
    if (self->share >= 1.0) return 1;
    self->random ^= self->random << 13;
    self->random ^= self->random >> 7;
    self->random ^= self->random << 17;
    return (double)(self->random >> 11) * 0x1p-53 < self->share;
}

static void count_duration(Recorder *self, uint64_t *cells, double duration) {
    Py_ssize_t bucket = 0;
    while (bucket < self->buckets_count && self->buckets[bucket] < duration) bucket++;
    cells[bucket]++;
    double sum;
    memcpy(&sum, cells + self->buckets_count + 1, sizeof sum);
    sum += duration;
    memcpy(cells + self->buckets_count + 1, &sum, sizeof sum);
}

static void count(Recorder *self, int place, int method, int status, double duration) {
    uint64_t *cells = (uint64_t *)self->counts.buf + self->first + place * self->of_model;
    cells[self->methods[method] + status]++;
    cells += self->of_requests;
    count_duration(self, cells, duration);
    count_duration(self, cells + self->buckets_count + 2, duration);
}

/* Write a frame; 0 where there is no room. */
static int put(Recorder *self, const frame *head, cursor request, cursor response) {
    uint64_t *offsets = self->offsets.buf, total = (uint64_t)self->data.len;
    uint64_t size = ((uint64_t)head->size + 7) & ~(uint64_t)7, skipped = 0;
    uint64_t written = offsets[self->written];
    uint64_t read = __atomic_load_n(offsets + self->read, __ATOMIC_ACQUIRE);
    uint64_t place = written % total, rest = total - place;
    if (size > rest || (read == written && place > total >> 4 && place >= size)) skipped = rest;
    if (written + skipped + size - read > total) return 0;
    unsigned char *data = self->data.buf;
    if (skipped) {
        memset(data + place, 0, 4);
        place = 0;
    }
    data += place;
    size_t asked = (size_t)head->lengths[0] + head->lengths[1];
    memcpy(data, head, sizeof *head);
    memcpy(data + sizeof *head, request, asked);
    memcpy(data + sizeof *head + asked, response, (size_t)head->lengths[2] + head->lengths[3]);
    __atomic_store_n(offsets + self->written, written + skipped + size, __ATOMIC_RELEASE);
    return 1;
}

static void drop(Recorder *self, int reason) {
    ((uint64_t *)self->counts.buf)[reason]++;
}

static int Recorder_init(Recorder *self, PyObject *args, PyObject *named) {
    static char *names[] = {"offsets", "written", "read", "data", "counts", "layout",
                            "buckets", "methods", "body_limit", "share", NULL};
    PyObject *offsets, *data, *counts, *buckets, *methods;
    if (self->routes) {
        PyErr_SetString(PyExc_TypeError, "a recorder is made once");
        return -1;
    }
    if (!PyArg_ParseTupleAndKeywords(
            args, named, "OiiOO(nnn)O!O!nd", names, &offsets, &self->written, &self->read, &data,
            &counts, &self->first, &self->of_model, &self->of_requests, &PyTuple_Type, &buckets,
            &PyTuple_Type, &methods, &self->body_limit, &self->share))
        return -1;
    self->buckets_count = PyTuple_GET_SIZE(buckets);
    if (self->buckets_count > MOST_BUCKETS || PyTuple_GET_SIZE(methods) != METHODS_COUNT) {
        PyErr_SetString(PyExc_ValueError, "too many buckets, or not the methods of a plain request");
        return -1;
    }
    for (Py_ssize_t i = 0; i < self->buckets_count; i++)
        self->buckets[i] = PyFloat_AsDouble(PyTuple_GET_ITEM(buckets, i));
    for (Py_ssize_t i = 0; i < METHODS_COUNT; i++)
        self->methods[i] = PyLong_AsSsize_t(PyTuple_GET_ITEM(methods, i));
    if (PyErr_Occurred() || PyObject_GetBuffer(offsets, &self->offsets, PyBUF_WRITABLE) < 0 ||
        PyObject_GetBuffer(data, &self->data, PyBUF_WRITABLE) < 0 ||
        PyObject_GetBuffer(counts, &self->counts, PyBUF_WRITABLE) < 0)
        return -1;
    self->random = (uint64_t)(now() * 1e9) | 1;
    self->allowed = INFINITY;
    self->routes = PyDict_New();
    return self->routes ? 0 : -1;
}

static void Recorder_dealloc(Recorder *self) {
    Py_XDECREF(self->routes);
    PyBuffer_Release(&self->offsets);
    PyBuffer_Release(&self->data);
    PyBuffer_Release(&self->counts);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyMemberDef RECORDER_MEMBERS[] = {
    {"routes", T_OBJECT, offsetof(Recorder, routes), READONLY,
     "The place of a target's model, or -1 where it has none; whatever is absent isn't plain."},
    {"clock", T_DOUBLE, offsetof(Recorder, clock), 0, "Seconds from perf_counter to the epoch's."},
    {"allowed", T_DOUBLE, offsetof(Recorder, allowed), 0, "How many more are observed this second."},
    {"failures", T_DOUBLE, offsetof(Recorder, failures), 0,
     "How many more requests that failed are told of this second."},
    {NULL},
};

static PyTypeObject RecorderType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "ml_exporter.proxy._plain.Recorder",
    .tp_doc = "Counts plain exchanges, and writes them to the buffer.",
    .tp_basicsize = sizeof(Recorder),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = PyType_GenericNew,
    .tp_init = (initproc)Recorder_init,
    .tp_dealloc = (destructor)Recorder_dealloc,
    .tp_members = RECORDER_MEMBERS,
};

/* --- one connection --------------------------------------------------------------------- */

typedef struct {
    PyObject_HEAD
    PyObject *data; /* the request that waits for its answer, or NULL */
    Recorder *recorder;
    request_head line;
    int place; /* of its model, or below 0 */
    double started;
} Lane;

/* A frame that has the head of the request alone. */
static frame frame_of(const Lane *self, int status, double duration) {
    return (frame){
        (uint32_t)(sizeof(frame) + (size_t)self->line.head),
        (uint16_t)self->place,
        (uint16_t)status,
        self->recorder->clock + self->started,
        (float)duration,
        (float)duration,
        0.0F, /* an answer that comes whole is not streamed */
        {(uint32_t)self->line.head, 0, 0, 0},
    };
}

PyDoc_STRVAR(request_doc,
             "request(data, peer, ending, recorder)\n--\n\nWhat to forward of a request if it is "
             "plain, else None: its head says that it came by `peer`, and has `ending` at its end "
             "unless it has an X-Forwarded-Proto.");

static inline char *append(char *to, const void *from, Py_ssize_t size) {
    memcpy(to, from, (size_t)size);
    return to + size;
}

/* The request as it is forwarded. */
static PyObject *forwarded(const request_head *line, cursor data, Py_ssize_t size, PyObject *peer,
                           PyObject *ending) {
    static const char name[] = "X-Forwarded-For: ";
    const framing *said = &line->said;
    cursor head_end = data + line->head - 2;
    Py_ssize_t via = said->via ? said->via_end - said->via : 0;
    Py_ssize_t most = size + (Py_ssize_t)sizeof name + via + 8 + Py_SIZE(peer) + Py_SIZE(ending);
    PyObject *made = PyBytes_FromStringAndSize(NULL, most);
    if (!made) return NULL;
    char *start = PyBytes_AS_STRING(made), *to = start;
    if (said->via) {
        to = append(to, data, said->line - data);
        to = append(to, said->line_end, head_end - said->line_end);
    } else {
        to = append(to, data, head_end - data);
    }
    to = append(to, name, sizeof name - 1);
    if (said->via) {
        for (cursor p = said->via; p < said->via_end; p++) *to++ = (char)LOWER[*p];
        if (via) to = append(to, ", ", 2);
    }
    to = append(to, PyBytes_AS_STRING(peer), Py_SIZE(peer));
    to = append(to, "\r\n", 2);
    if (said->protos) to = append(to, "\r\n", 2);
    else to = append(to, PyBytes_AS_STRING(ending), Py_SIZE(ending));
    to = append(to, data + line->head, size - line->head);
    _PyBytes_Resize(&made, to - start);
    return made;
}

static PyObject *Lane_request(Lane *self, PyObject *const *args, Py_ssize_t count_) {
    if (count_ != 4 || !PyBytes_Check(args[1]) || !PyBytes_Check(args[2]) ||
        !Py_IS_TYPE(args[3], &RecorderType)) {
        PyErr_SetString(PyExc_TypeError, "request() takes data, a peer, an ending and a recorder");
        return NULL;
    }
    PyObject *data = args[0];
    Recorder *recorder = (Recorder *)args[3];
    if (self->data || !PyBytes_CheckExact(data)) Py_RETURN_NONE;
    cursor bytes = (cursor)PyBytes_AS_STRING(data);
    Py_ssize_t size = PyBytes_GET_SIZE(data);
    if (!read_request(bytes, size, &self->line)) Py_RETURN_NONE;
    PyObject *target =
        PyBytes_FromStringAndSize((const char *)self->line.target, self->line.target_size);
    if (!target) return NULL;
    PyObject *place = PyDict_GetItemWithError(recorder->routes, target);
    Py_DECREF(target);
    if (!place) {
        if (PyErr_Occurred()) return NULL;
        Py_RETURN_NONE;
    }
    self->place = (int)PyLong_AsLong(place);
    if (self->place == -1 && PyErr_Occurred()) return NULL;
    PyObject *out = forwarded(&self->line, bytes, size, args[1], args[2]);
    if (!out) return NULL;
    self->data = Py_NewRef(data);
    Py_XSETREF(self->recorder, (Recorder *)Py_NewRef(recorder));
    self->started = now();
    return out;
}

PyDoc_STRVAR(response_doc,
             "response(data)\n--\n\nWhether that is the whole answer to a plain request, and plain "
             "itself: then it is counted, and observed.");

static PyObject *Lane_response(Lane *self, PyObject *data) {
    if (!self->data || !PyBytes_CheckExact(data)) Py_RETURN_FALSE;
    cursor response = (cursor)PyBytes_AS_STRING(data);
    Py_ssize_t size = PyBytes_GET_SIZE(data), head = 0;
    int status = read_answer(response, size, &head);
    if (!status) Py_RETURN_FALSE;
    Recorder *recorder = self->recorder;
    PyObject *request = self->data;
    self->data = NULL;
    if (self->place >= 0) {
        double duration = now() - self->started;
        Py_ssize_t asked = PyBytes_GET_SIZE(request) - self->line.head, answered = size - head;
        count(recorder, self->place, self->line.method, status, duration);
        if (status >= FAILED && (recorder->failures -= 1.0) >= 0) {
            frame made = frame_of(self, status, duration);
            put(recorder, &made, (cursor)PyBytes_AS_STRING(request), response);
        }
        if (status >= 300 || !is_chosen(recorder)) {
        } else if (asked > recorder->body_limit || answered > recorder->body_limit) {
            drop(recorder, TOO_LARGE);
        } else if ((recorder->allowed -= 1.0) < 0) {
            drop(recorder, RATE);
        } else {
            frame made = frame_of(self, status, duration);
            made.size += (uint32_t)(asked + size);
            made.lengths[1] = (uint32_t)asked;
            made.lengths[2] = (uint32_t)head;
            made.lengths[3] = (uint32_t)answered;
            if (!put(recorder, &made, (cursor)PyBytes_AS_STRING(request), response))
                drop(recorder, BUFFER_FULL);
        }
    }
    Py_DECREF(request);
    Py_RETURN_TRUE;
}

PyDoc_STRVAR(hand_over_doc,
             "hand_over()\n--\n\nThe request that waits for its answer, the length of its head, and when "
             "it came: it is the caller's now.");

static PyObject *Lane_hand_over(Lane *self, PyObject *Py_UNUSED(ignored)) {
    if (!self->data) {
        PyErr_SetString(PyExc_ValueError, "no request waits");
        return NULL;
    }
    PyObject *handed = Py_BuildValue("(Ond)", self->data, self->line.head, self->started);
    if (handed) Py_CLEAR(self->data);
    return handed;
}

static PyObject *Lane_is_busy(Lane *self, void *Py_UNUSED(closure)) {
    return PyBool_FromLong(self->data != NULL);
}

static void Lane_dealloc(Lane *self) {
    Py_XDECREF(self->data);
    Py_XDECREF(self->recorder);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyMethodDef LANE_METHODS[] = {
    {"request", (PyCFunction)(void (*)(void))Lane_request, METH_FASTCALL, request_doc},
    {"response", (PyCFunction)Lane_response, METH_O, response_doc},
    {"hand_over", (PyCFunction)Lane_hand_over, METH_NOARGS, hand_over_doc},
    {NULL},
};

static PyGetSetDef LANE_PROPERTIES[] = {
    {"is_busy", (getter)Lane_is_busy, NULL, "Whether a request waits for its answer.", NULL},
    {NULL},
};

static PyTypeObject LaneType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "ml_exporter.proxy._plain.Lane",
    .tp_doc = "One connection's plain exchange.",
    .tp_basicsize = sizeof(Lane),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = PyType_GenericNew,
    .tp_dealloc = (destructor)Lane_dealloc,
    .tp_methods = LANE_METHODS,
    .tp_getset = LANE_PROPERTIES,
};

static struct PyModuleDef MODULE = {
    PyModuleDef_HEAD_INIT,
    .m_name = "ml_exporter.proxy._plain",
    .m_doc = "Requests and answers that come whole, with nothing unusual in their heads.",
    .m_size = -1,
};

PyMODINIT_FUNC PyInit__plain(void) {
    fill_tables();
    if (PyType_Ready(&RecorderType) < 0 || PyType_Ready(&LaneType) < 0) return NULL;
    PyObject *module = PyModule_Create(&MODULE);
    if (module && (PyModule_AddObjectRef(module, "Recorder", (PyObject *)&RecorderType) < 0 ||
                   PyModule_AddObjectRef(module, "Lane", (PyObject *)&LaneType) < 0))
        Py_CLEAR(module);
    return module;
}
