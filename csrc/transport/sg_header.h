/* The pure part of the sg transport: one command as the kernel's sg_io_hdr (interface version 3), and its
 * answer back. */
#ifndef GT_SG_HEADER_H
#define GT_SG_HEADER_H

#include <scsi/sg.h>

#include "lu.h"

/* Fills in a header for io; usr_ptr is io itself. */
void gt_sg_request(gt_io *io, bool direct_io, sg_io_hdr_t *header);

/* Fills in io's answer. Nothing but a clean host and driver status lets a SCSI status through. */
void gt_sg_answer(const sg_io_hdr_t *header, gt_io *io);

/* Takes over an open descriptor that behaves as an sg node does (write and read of sg_io_hdr, poll). The
 * opener for tests and for gt_sg_open. limits->max_queue: commands that the driver is given at a time. */
int gt_sg_attach(int fd, const gt_lu_limits *limits, bool direct_io, gt_lu **out);

#endif
