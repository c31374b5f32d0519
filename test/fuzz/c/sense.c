/* Sense data of anybody's device: read within its bounds at every length, and what was read is made again the same. */
#include "core/sense.h"
#include "core/bytes.h"
#include "core/scsi.h"
#include "fuzz.h"

static bool same(const gt_sense *a, const gt_sense *b) {
  bool marked = a->filemark || a->eom || a->ili;
  return a->key == b->key && a->asc == b->asc && a->deferred == b->deferred && a->filemark == b->filemark &&
         a->eom == b->eom && a->ili == b->ili && (!marked || a->stream == b->stream) &&
         a->has_information == b->has_information && (!a->has_information || a->information == b->information) &&
         a->has_field == b->has_field &&
         (!a->has_field ||
          (a->field_in_cdb == b->field_in_cdb && a->field_byte == b->field_byte && a->field_bit == b->field_bit));
}

/* In descriptor format everything can be said; in fixed format not the stream bit, nor more than 32 bits. */
static void check_round_trip(const gt_sense *sense) {
  uint8_t bytes[64];
  gt_sense again;
  for (size_t room = 0; room <= 48; room++) {
    memset(bytes, 0xEE, sizeof bytes);
    for (int descriptor = 0; descriptor < 2; descriptor++) {
      size_t length = gt_sense_build(sense, descriptor, bytes, room);
      MUST(length <= room);
      for (size_t i = room; i < sizeof bytes; i++)
        MUST(bytes[i] == 0xEE);
      gt_sense_parse(bytes, length, &again);
    }
  }
  size_t length = gt_sense_build(sense, true, bytes, sizeof bytes);
  MUST(gt_sense_parse(bytes, length, &again) && same(sense, &again));
  length = gt_sense_build(sense, false, bytes, sizeof bytes);
  MUST(gt_sense_parse(bytes, length, &again));
  MUST(again.key == sense->key && again.asc == sense->asc && again.deferred == sense->deferred);
  MUST(again.filemark == sense->filemark && again.eom == sense->eom && again.ili == sense->ili);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size > 255) return 0;
  for (size_t length = 0; length <= size; length++) {
    uint8_t *exact = malloc(length ? length : 1);
    if (length) memcpy(exact, data, length);
    gt_sense sense;
    bool is_sense = gt_sense_parse(exact, length, &sense);
    uint8_t code = length ? data[0] & 0x7F : 0;
    if (is_sense) MUST(code >= 0x70 && code <= 0x73);
    if (is_sense) MUST(sense.deferred == (code & 1) && sense.key == (data[code < 0x72 ? 2 : 1] & 0x0F));
    if (is_sense) check_round_trip(&sense);
    if (!is_sense) MUST(!sense.key && !sense.asc && !sense.has_information && !sense.filemark && !sense.ili);
    free(exact);
  }
  return 0;
}
