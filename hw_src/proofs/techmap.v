// SPDX-License-Identifier: Apache-2.0
// yosys techmap: registers become wires, so that a pipeline is the function that it computes. A register that is
// not enabled shows 0, and other kinds of registers stay, so that the proof fails. Products get their wider operand first
// and all their bits, sums operands of their own width: equal ones are merged then, and minutes become milliseconds.
(* techmap_celltype = "$dff" *)
module transparent_dff #(parameter WIDTH = 1, parameter CLK_POLARITY = 1) (
    input CLK, input [WIDTH-1:0] D, output [WIDTH-1:0] Q);
  assign Q = D;
endmodule

(* techmap_celltype = "$dffe" *)
module transparent_dffe #(parameter WIDTH = 1, parameter CLK_POLARITY = 1, parameter EN_POLARITY = 1) (
    input CLK, input EN, input [WIDTH-1:0] D, output [WIDTH-1:0] Q);
  assign Q = EN == EN_POLARITY ? D : {WIDTH{1'b0}};
endmodule

(* techmap_celltype = "$sdff" *)
module transparent_sdff #(parameter WIDTH = 1, parameter CLK_POLARITY = 1, parameter SRST_POLARITY = 1,
    parameter [WIDTH-1:0] SRST_VALUE = 0) (input CLK, input SRST, input [WIDTH-1:0] D, output [WIDTH-1:0] Q);
  assign Q = SRST == SRST_POLARITY ? SRST_VALUE : D;
endmodule

(* techmap_celltype = "$mul" *)
module canonical_mul #(parameter A_SIGNED = 0, parameter B_SIGNED = 0, parameter A_WIDTH = 1, parameter B_WIDTH = 1,
    parameter Y_WIDTH = 1) (input [A_WIDTH-1:0] A, input [B_WIDTH-1:0] B, output [Y_WIDTH-1:0] Y);
  localparam FULL = A_WIDTH + B_WIDTH;
  localparam SWAP = A_WIDTH < B_WIDTH;
  wire _TECHMAP_FAIL_ = !SWAP && Y_WIDTH == FULL;
  wire [FULL-1:0] product;
  generate
    if (SWAP) begin
      \$mul #(.A_SIGNED(A_SIGNED), .B_SIGNED(B_SIGNED), .A_WIDTH(B_WIDTH), .B_WIDTH(A_WIDTH), .Y_WIDTH(FULL))
          multiply (.A(B), .B(A), .Y(product));
    end else begin
      \$mul #(.A_SIGNED(A_SIGNED), .B_SIGNED(B_SIGNED), .A_WIDTH(A_WIDTH), .B_WIDTH(B_WIDTH), .Y_WIDTH(FULL))
          multiply (.A(A), .B(B), .Y(product));
    end
  endgenerate
  assign Y = A_SIGNED ? {{Y_WIDTH{product[FULL-1]}}, product} : product;
endmodule

(* techmap_celltype = "$add" *)
module canonical_add #(parameter A_SIGNED = 0, parameter B_SIGNED = 0, parameter A_WIDTH = 1, parameter B_WIDTH = 1,
    parameter Y_WIDTH = 1) (input [A_WIDTH-1:0] A, input [B_WIDTH-1:0] B, output [Y_WIDTH-1:0] Y);
  wire _TECHMAP_FAIL_ = A_WIDTH == Y_WIDTH && B_WIDTH == Y_WIDTH && !A_SIGNED;
  wire [A_WIDTH+Y_WIDTH-1:0] a = {{Y_WIDTH{A_SIGNED ? A[A_WIDTH-1] : 1'b0}}, A};
  wire [B_WIDTH+Y_WIDTH-1:0] b = {{Y_WIDTH{B_SIGNED ? B[B_WIDTH-1] : 1'b0}}, B};
  \$add #(.A_SIGNED(0), .B_SIGNED(0), .A_WIDTH(Y_WIDTH), .B_WIDTH(Y_WIDTH), .Y_WIDTH(Y_WIDTH))
      sum (.A(a[Y_WIDTH-1:0]), .B(b[Y_WIDTH-1:0]), .Y(Y));
endmodule
