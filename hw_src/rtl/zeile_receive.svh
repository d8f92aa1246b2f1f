// SPDX-License-Identifier: Apache-2.0
// Numbers of the front end: kinds of packets and faults (hls/packet.h), states. Included inside modules' bodies.

/* verilator lint_off UNUSEDPARAM */
localparam logic [15:0] MAGIC = {8'd2, 8'h5A};  // with the ABI
localparam int ECHO_WORDS = 512;                // longest echo: it is answered only when all of it is there

localparam logic [7:0] INFER = 8'd1, LOAD = 8'd2, COMMIT = 8'd3, READ_BACK = 8'd4, ECHO = 8'd5, STATUS = 8'd6;

localparam logic [3:0] BAD_MAGIC = 4'd1, UNKNOWN_KIND = 4'd2, TOO_LONG = 4'd3, SHORT_PACKET = 4'd4;
localparam logic [3:0] LONG_PACKET = 4'd5, CRC_MISMATCH = 4'd6, NO_MODEL = 4'd7, BAD_ADDRESS = 4'd8;
localparam logic [3:0] BAD_CLASSES = 4'd9;

localparam logic [3:0] S_KIND = 4'd0, S_COUNT = 4'd1, S_LOOK_UP = 4'd2, S_LIMIT = 4'd3, S_JUDGE = 4'd4;
localparam logic [3:0] S_FRAMES = 4'd5, S_QUIET = 4'd6, S_PAYLOAD = 4'd7, S_DROP = 4'd8, S_VERDICT = 4'd9;
localparam logic [3:0] S_MESSAGES = 4'd10, S_SETTLE = 4'd11;
/* verilator lint_on UNUSEDPARAM */
