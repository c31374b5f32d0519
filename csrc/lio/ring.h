/* The ring that the kernel's TCM user backstore (TCMU, linux/target_core_user.h) shares with whoever answers its
 * commands: mailbox, command ring, data area, in one mapping. Here its bytes are read and written, and nothing is
 * believed: what the shared memory says is copied, then checked, then used. One thread for each ring.
 *
 * Answers come out of order: the kernel takes the answer of any command from the entry at the tail, by the identifier
 * in its header. So the entry of a command that is still running is overwritten when a later one ends first. Whoever
 * comes after this process (it was killed, the ring lives on) must still find every command that was not answered,
 * once. Therefore an entry whose command was answered elsewhere stands from then on for the one that lost its own (it
 * is *lent*), and marks in a byte that the kernel leaves alone say how far each had come. */
#ifndef GT_LIO_RING_H
#define GT_LIO_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../transport/lu.h"

/* Marks of an entry: bits of its user flags that mean nothing to the kernel. None of them: nobody has begun it. */
enum {
  GT_TCMU_BEGUN = 0x80,    /* its command may have had an effect */
  GT_TCMU_LENT = 0x40,     /* it stands for another command: CDB and data are not that one's */
  GT_TCMU_ANSWERED = 0x20, /* an answer is, or is being, written over it */
};

enum gt_tcmu_op { GT_TCMU_PAD = 0, GT_TCMU_COMMAND = 1, GT_TCMU_TMR = 2 };

/* Task management functions as the ring numbers them. */
enum gt_tcmu_function {
  GT_TCMU_ABORT_TASK = 1,
  GT_TCMU_ABORT_TASK_SET = 2,
  GT_TCMU_CLEAR_ACA = 3,
  GT_TCMU_CLEAR_TASK_SET = 4,
  GT_TCMU_LUN_RESET = 5,
  GT_TCMU_WARM_RESET = 6,
  GT_TCMU_COLD_RESET = 7,
};

typedef struct gt_tcmu_ring {
  uint8_t *base;
  size_t bytes;
  uint32_t start, size; /* the command ring: its place in the mapping, and its length */
  uint32_t seen;        /* entries before it were taken */
  uint32_t tail;        /* entries before it were answered */
} gt_tcmu_ring;

typedef struct gt_tcmu_entry {
  uint32_t at, length;
  uint8_t op, marks;
  uint16_t id;
  /* of a command */
  uint32_t pieces;
  uint8_t cdb_len, cdb[GT_CDB_MAX];
  /* of a task management function */
  uint8_t function;
  uint32_t named;
} gt_tcmu_entry;

/* A piece of the data area. */
typedef struct gt_tcmu_piece {
  uint8_t *data;
  uint32_t length;
} gt_tcmu_piece;

typedef struct gt_tcmu_answer {
  uint8_t status, sense_len;
  const uint8_t *sense;
  uint32_t read; /* data-in that is there; 0: as much as was asked for, or none */
} gt_tcmu_answer;

/* Checks what is fixed, and sets the ring to its tail. -EPROTO: this is no ring that can be served. */
int gt_tcmu_open(gt_tcmu_ring *ring, void *memory, size_t bytes, char *err, size_t err_len);
/* Up to where the kernel has written. -EBADMSG. */
int gt_tcmu_head(const gt_tcmu_ring *ring, uint32_t *head);
/* The entry there; `at` is not the head. -EBADMSG. */
int gt_tcmu_look(const gt_tcmu_ring *ring, uint32_t at, uint32_t head, gt_tcmu_entry *out);
uint32_t gt_tcmu_next(const gt_tcmu_ring *ring, uint32_t at, uint32_t length);
/* -EBADMSG: it does not lie in the data area. */
int gt_tcmu_piece_of(const gt_tcmu_ring *ring, const gt_tcmu_entry *entry, uint32_t index, gt_tcmu_piece *out);
uint16_t gt_tcmu_name_of(const gt_tcmu_ring *ring, const gt_tcmu_entry *entry, uint32_t index);

/* After a predecessor: what it had begun to move about is put back, so that every command that was not answered has
 * one entry. -EBADMSG. */
int gt_tcmu_rescue(gt_tcmu_ring *ring, uint32_t head);
void gt_tcmu_begin(gt_tcmu_ring *ring, uint32_t at);
/* The entry of command `own`, which is about to be answered elsewhere, stands for `other` from now on. */
void gt_tcmu_lend(gt_tcmu_ring *ring, uint32_t at, uint16_t own, uint16_t other);
/* At the tail; then gt_tcmu_release. */
void gt_tcmu_answer_at(gt_tcmu_ring *ring, uint32_t at, uint16_t id, const gt_tcmu_answer *answer);
/* The kernel may take the entries before it. */
void gt_tcmu_release(gt_tcmu_ring *ring, uint32_t tail);

#endif
