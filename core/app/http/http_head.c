/* http_head.c - see http_head.h. */
#include "app/http/http_head.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

enum { ROOM_BESIDE_URI = 64 /* method, version and blanks of a request line that is still coming */ };

/* At the end of a line: an empty one ends the head, unless it stands before the request line, where some clients put one. */
static enum tfr_http_fault end_of_line(struct tfr_head_scan *scan, const struct tfr_http_limits *limits, size_t *end) {
    const bool empty = scan->at == scan->line + 1;
    if (empty && scan->lines > 0) {
        *end = scan->at + 1;
    } else if (!empty && scan->lines++ > limits->max_lines) {
        return TFR_HTTP_HEAD_TOO_LARGE;
    }
    scan->line = scan->at + 1;
    scan->cr = false;
    return TFR_HTTP_FINE;
}

static bool is_control(unsigned char c) {
    return (c < 0x20 && c != '\t') || c == 0x7f;
}

enum tfr_http_fault tfr_head_scan(struct tfr_head_scan *scan, const char *bytes, size_t size, const struct tfr_http_limits *limits,
                                  size_t *end) {
    *end = 0;
    for (; scan->at < size && *end == 0; scan->at++) {
        const unsigned char c = (unsigned char)bytes[scan->at];
        if (scan->at >= limits->max_head) {
            return TFR_HTTP_HEAD_TOO_LARGE;
        }
        if (scan->cr) {
            const enum tfr_http_fault fault = c == '\n' ? end_of_line(scan, limits, end) : TFR_HTTP_BAD_BYTE;
            if (fault != TFR_HTTP_FINE) {
                return fault;
            }
        } else if (c == '\r') {
            scan->cr = true;
        } else if (is_control(c)) {
            return TFR_HTTP_BAD_BYTE;
        } else if (scan->lines == 0 && scan->at - scan->line > limits->max_uri + ROOM_BESIDE_URI) {
            return TFR_HTTP_URI_TOO_LONG;
        }
    }
    return TFR_HTTP_FINE;
}

static bool is_token(unsigned char c) {
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static size_t token_length(const char *text) {
    size_t n = 0;
    while (is_token((unsigned char)text[n])) {
        n++;
    }
    return n;
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static enum tfr_http_fault parse_version(const char *text, struct tfr_head *head) {
    if (strncmp(text, "HTTP/", 5) != 0 || !is_digit(text[5]) || text[6] != '.' || !is_digit(text[7]) || text[8] != '\0') {
        return TFR_HTTP_BAD_LINE;
    }
    if (text[5] != '1' || text[7] > '1') {
        return TFR_HTTP_VERSION;
    }
    head->minor = text[7] - '0';
    return TFR_HTTP_FINE;
}

/* Only the path form, and the asterisk of OPTIONS. "http://host/path" would name a second host beside the Host header. */
static enum tfr_http_fault parse_target(char *target, const struct tfr_http_limits *limits, struct tfr_head *head) {
    const size_t size = strlen(target);
    if (size > limits->max_uri) {
        return TFR_HTTP_URI_TOO_LONG;
    }
    if (target[0] != '/' && (strcmp(target, "*") != 0 || strcmp(head->method, "OPTIONS") != 0)) {
        return TFR_HTTP_BAD_URI;
    }
    for (size_t i = 0; i < size; i++) {
        const unsigned char c = (unsigned char)target[i];
        if (c <= ' ' || c >= 0x7f || c == '#') {
            return TFR_HTTP_BAD_URI;
        }
    }
    char *const mark = strchr(target, '?');
    head->path = target;
    head->query = mark == NULL ? target + size : mark + 1;
    if (mark != NULL) {
        *mark = '\0';
    }
    return TFR_HTTP_FINE;
}

static enum tfr_http_fault parse_request_line(char *line, const struct tfr_http_limits *limits, struct tfr_head *head) {
    const size_t method = token_length(line);
    char *const target = line + method + 1;
    char *const blank = method > 0 && line[method] == ' ' ? strchr(target, ' ') : NULL;
    if (blank == NULL) {
        return TFR_HTTP_BAD_LINE;
    }
    line[method] = *blank = '\0';
    head->method = line;
    const enum tfr_http_fault fault = parse_version(blank + 1, head);
    return fault != TFR_HTTP_FINE ? fault : parse_target(target, limits, head);
}

/* A folded line begins with a blank, which no name has. */
static enum tfr_http_fault parse_line(char *line, struct tfr_head *head) {
    const size_t name = token_length(line);
    if (name == 0 || line[name] != ':') {
        return TFR_HTTP_BAD_HEADER;
    }
    for (size_t i = 0; i < name; i++) {
        line[i] = line[i] >= 'A' && line[i] <= 'Z' ? (char)(line[i] | 0x20) : line[i];
    }
    line[name] = '\0';
    char *value = line + name + 1;
    value += strspn(value, " \t");
    size_t size = strlen(value);
    while (size > 0 && (value[size - 1] == ' ' || value[size - 1] == '\t')) {
        size--;
    }
    value[size] = '\0';
    if (head->n_lines == TFR_HEAD_LINES) {
        return TFR_HTTP_HEAD_TOO_LARGE;
    }
    head->lines[head->n_lines++] = (struct tfr_http_header){line, value};
    return TFR_HTTP_FINE;
}

static enum tfr_http_fault take_length(struct tfr_head *head, const char *value) {
    if (head->counted || *value == '\0' || value[strspn(value, "0123456789")] != '\0') {
        return TFR_HTTP_BAD_LENGTH;
    }
    head->counted = true;
    for (; *value != '\0'; value++) {
        const bool too_many = head->length > (UINT64_MAX - 9) / 10;
        head->length = too_many ? UINT64_MAX : head->length * 10 + (uint64_t)(*value - '0');
    }
    return TFR_HTTP_FINE;
}

static enum tfr_http_fault take_coding(struct tfr_head *head, const char *value) {
    if (head->chunked || head->minor == 0 || strcasecmp(value, "chunked") != 0) {
        return TFR_HTTP_BAD_CODING;
    }
    head->chunked = true;
    return TFR_HTTP_FINE;
}

static void take_connection(struct tfr_head *head, const char *value) {
    while (*value != '\0') {
        value += strspn(value, " \t,");
        const size_t n = strcspn(value, " \t,");
        head->close |= n == 5 && strncasecmp(value, "close", n) == 0;
        head->keep_alive |= n == 10 && strncasecmp(value, "keep-alive", n) == 0;
        value += n;
    }
}

static enum tfr_http_fault take_expectation(struct tfr_head *head, const char *value) {
    if (strcasecmp(value, "100-continue") != 0) {
        return TFR_HTTP_EXPECTATION;
    }
    head->expects_continue = head->minor > 0; /* HTTP/1.0 has no 100 */
    return TFR_HTTP_FINE;
}

static enum tfr_http_fault take_host(const struct tfr_head *head, const char *value) {
    const size_t n = strcspn(value, "/\\@?#\"<> \t");
    for (size_t i = 0; i < n; i++) {
        if ((unsigned char)value[i] >= 0x7f) {
            return TFR_HTTP_BAD_HOST;
        }
    }
    return n == 0 || value[n] != '\0' || tfr_head_line(head, "host") != value ? TFR_HTTP_BAD_HOST : TFR_HTTP_FINE;
}

/* What the lines mean for the framing of the request. */
static enum tfr_http_fault take_lines(struct tfr_head *head) {
    enum tfr_http_fault fault = TFR_HTTP_FINE;
    for (size_t i = 0; i < head->n_lines && fault == TFR_HTTP_FINE; i++) {
        const char *const name = head->lines[i].name, *const value = head->lines[i].value;
        if (strcmp(name, "content-length") == 0) {
            fault = take_length(head, value);
        } else if (strcmp(name, "transfer-encoding") == 0) {
            fault = take_coding(head, value);
        } else if (strcmp(name, "connection") == 0) {
            take_connection(head, value);
        } else if (strcmp(name, "expect") == 0) {
            fault = take_expectation(head, value);
        } else if (strcmp(name, "host") == 0) {
            fault = take_host(head, value);
        }
    }
    if (fault == TFR_HTTP_FINE && head->counted && head->chunked) {
        fault = TFR_HTTP_BOTH_LENGTHS;
    }
    if (fault == TFR_HTTP_FINE && head->minor > 0 && tfr_head_line(head, "host") == NULL) {
        fault = TFR_HTTP_BAD_HOST;
    }
    return fault;
}

enum tfr_http_fault tfr_head_parse(char *bytes, size_t size, const struct tfr_http_limits *limits, struct tfr_head *head) {
    *head = (struct tfr_head){.minor = 0};
    enum tfr_http_fault fault = TFR_HTTP_FINE;
    bool first = true;
    for (char *line = bytes; fault == TFR_HTTP_FINE && line < bytes + size;) {
        char *const end = memchr(line, '\r', (size_t)(bytes + size - line));
        if (end == NULL) {
            return TFR_HTTP_BAD_LINE;
        }
        *end = '\0';
        if (end > line) {
            fault = first ? parse_request_line(line, limits, head) : parse_line(line, head);
            first = false;
        }
        line = end + 2;
    }
    if (fault == TFR_HTTP_FINE && first) {
        return TFR_HTTP_BAD_LINE;
    }
    return fault != TFR_HTTP_FINE ? fault : take_lines(head);
}

const char *tfr_head_line(const struct tfr_head *head, const char *name) {
    for (size_t i = 0; i < head->n_lines; i++) {
        if (strcmp(head->lines[i].name, name) == 0) {
            return head->lines[i].value;
        }
    }
    return NULL;
}

static bool names_loopback(const char *name, size_t n) {
    struct in_addr four;
    char text[INET_ADDRSTRLEN];
    if (n == 9 && strncasecmp(name, "localhost", n) == 0) {
        return true;
    }
    if (n == 5 && memcmp(name, "[::1]", n) == 0) {
        return true;
    }
    if (n >= sizeof text) {
        return false;
    }
    memcpy(text, name, n);
    text[n] = '\0'; /* "127.example.org" begins alike, but is a name */
    return inet_pton(AF_INET, text, &four) == 1 && ntohl(four.s_addr) >> 24 == 127;
}

bool tfr_head_host_is(const char *host, const char *name) {
    const char *const bracket = host[0] == '[' ? strchr(host, ']') : NULL;
    const size_t n = bracket != NULL ? (size_t)(bracket + 1 - host) : strcspn(host, ":");
    const char *const port = host + n;
    if (*port != '\0' && (port[0] != ':' || port[1 + strspn(port + 1, "0123456789")] != '\0')) {
        return false;
    }
    return name == NULL ? names_loopback(host, n) : strlen(name) == n && strncasecmp(host, name, n) == 0;
}
