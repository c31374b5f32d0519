/* gantry-fsmap: the agent's helper in C. It asks the kernel the questions that Node cannot: FIEMAP,
 * nanosecond time stamps, FIFREEZE, and dropping a file's pages. It decides nothing: which extents may be
 * used is the agent's business.
 *
 * Answers of `map` and `settle` are records on stdout. A record is a gt_record header and `bytes` bytes of
 * payload (a multiple of 8), all in the byte order of this machine: both ends are always on the same one.
 * The payloads are the structures below; text is UTF-8 or a file name's raw bytes, padded with zeros. */
#ifndef GT_FSMAP_H
#define GT_FSMAP_H

#include <stddef.h>
#include <stdint.h>

enum {
  GT_RECORD_NODE = 1,    /* gt_node, then link_bytes of a symbolic link's text */
  GT_RECORD_EXTENTS = 2, /* any number of gt_node_extent, of the node before, in file order */
  GT_RECORD_END = 3,     /* gt_node_end: the node is complete */
  GT_RECORD_ERROR = 4,   /* gt_node_error, then text_bytes of words; takes the place of END */
  GT_RECORD_DONE = 5,    /* uint64_t: how many paths were read; the last record */
};

typedef struct gt_record {
  uint32_t kind;
  uint32_t bytes;
} gt_record;

typedef struct gt_node {
  uint64_t index;     /* of the path on stdin, from 0 */
  uint32_t dev_major; /* st_dev */
  uint32_t dev_minor;
  uint64_t ino;
  uint64_t size;    /* bytes */
  int64_t mtime_ns; /* since 1970 */
  int64_t ctime_ns;
  uint32_t mode; /* with the file type */
  uint32_t uid, gid;
  uint32_t nlink;
  uint32_t fs_type;    /* statfs f_type */
  uint32_t fs_block;   /* statfs f_bsize, bytes */
  uint32_t attr_flags; /* FS_IOC_GETFLAGS; 0 where not asked */
  uint32_t xflags;     /* FS_IOC_FSGETXATTR fsx_xflags; 0 where not asked */
  uint32_t link_bytes;
  uint32_t reserved;
} gt_node;

typedef struct gt_node_extent {
  uint64_t logical, physical, length; /* bytes: fe_logical, fe_physical, fe_length */
  uint32_t flags;                     /* FIEMAP_EXTENT_… */
  uint32_t reserved;
} gt_node_extent;

typedef struct gt_node_end {
  uint64_t index;
  uint64_t changed; /* 1: size, mtime or ctime changed while the file was asked for its extents */
} gt_node_end;

typedef struct gt_node_error {
  uint64_t index;
  int32_t error; /* errno */
  uint32_t text_bytes;
} gt_node_error;

/* Reads the next NUL-terminated string from stdin into buffer. Returns 1, 0 at the end of input, or a
 * negative errno: -E2BIG when it does not fit, -EINVAL when the input ends inside a string. */
int gt_next_string(char *buffer, size_t room);

/* Writes one record: payload, then tail, then zeros up to a multiple of 8. Returns 0 or a negative errno. */
int gt_put(uint32_t kind, const void *payload, size_t payload_len, const void *tail, size_t tail_len);
/* An ERROR record: what says which step failed. */
int gt_put_error(uint64_t index, int error, const char *what);
/* The DONE record, flushed. */
int gt_put_done(uint64_t count);

/* The commands: return the program's exit code. */
int gt_map_main(int argc, char **argv);
int gt_settle_main(int argc, char **argv);
int gt_freeze_main(int argc, char **argv);
int gt_thaw_main(int argc, char **argv);

#endif
