/* An emulated disk as an iSCSI target without Node, for measuring and for other people's test suites:
 * fabric_server PORT FILE BLOCKS [BLOCK_BYTES [SPIN_US [WORD ...]]], words: removable, read-only, physical=BYTES,
 * pace=BYTES_PER_S. Runs until it gets a byte, or the end, on stdin. */
#include "fabric_rig.h"

/* Everything that the disk has goes to it. */
static size_t all_opcodes(gt_class_row *rows) {
  for (unsigned opcode = 0; opcode < 256; opcode++) {
    uint8_t handling = GT_FORWARD, flags = 0;
    if (opcode == GT_INQUIRY) handling = GT_IDENTITY;
    if (opcode == GT_REPORT_LUNS) handling = GT_LUNS;
    if (opcode == GT_REQUEST_SENSE) handling = GT_SENSE;
    if (handling != GT_FORWARD) flags = GT_CLASS_NO_ATTENTION;
    if (opcode == GT_SANITIZE) flags = GT_CLASS_SLOW;
    rows[opcode] = (gt_class_row){(uint8_t)opcode, -1, 1, handling, flags};
  }
  return 256;
}

static uint64_t take_word(gt_disk_options *disk, const char *word) {
  uint64_t number = strchr(word, '=') ? strtoull(strchr(word, '=') + 1, NULL, 0) : 0;
  if (!strcmp(word, "removable")) disk->removable = true;
  if (!strcmp(word, "read-only")) disk->read_only = true;
  if (!strncmp(word, "physical=", 9)) disk->physical_block_bytes = (uint32_t)number;
  return strncmp(word, "pace=", 5) ? 0 : number;
}

int main(int argc, char **argv) {
  if (argc < 4) die("fabric_server PORT FILE BLOCKS [BLOCK_BYTES [SPIN_US]]");
  gt_class_row rows[256];
  size_t row_count = all_opcodes(rows);
  char err[256] = "", byte;
  gt_device *device;
  gt_disk_options disk = {.path = argv[2],
                          .blocks = strtoull(argv[3], NULL, 0),
                          .block_bytes = argc > 4 ? (uint32_t)atoi(argv[4]) : 512,
                          .thin = true};
  uint64_t pace = 0;
  for (int i = 6; i < argc; i++)
    pace += take_word(&disk, argv[i]);
  if (gt_disk_open(&disk, &device, err, sizeof err)) die(err);
  gt_device_pace(device, pace);
  supervisor s = supervisor_defaults();
  gt_target_options options = {.spin_us = argc > 5 ? (uint32_t)atoi(argv[5]) : 0};
  supervisor_open(&s, options, rows, row_count, device, true, (uint16_t)atoi(argv[1]));
  printf("%d\n", s.port);
  fflush(stdout);
  while (read(0, &byte, 1) < 0)
    continue;
  supervisor_close(&s);
  return 0;
}
