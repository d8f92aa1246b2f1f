// SPDX-License-Identifier: Apache-2.0
// Two products of one code in one DSP slice (AccumulatePair() of arithmetic.h): weight1 sits 18 bits above weight0, and
// a negative lower product has borrowed one from the upper. Latency 2: operand registers, product register.
// ZEILE_DSP48E2 names the primitive; else the same is left to inference and to simulation.
`default_nettype none

module zeile_mac_pair #(
    parameter int W = 4,  // bits of a signed weight, 2 ... 8
    parameter int X = 5   // bits of the signed code; W + X <= 18
) (
    input  wire logic           clk,
    input  wire logic [W-1:0]   weight0,
    input  wire logic [W-1:0]   weight1,
    input  wire logic [X-1:0]   code,
    output wire logic [W+X-1:0] product0,
    output wire logic [W+X-1:0] product1
);
  // verilator lint_off UNUSEDSIGNAL
  wire logic signed [44:0] product;
  // verilator lint_on UNUSEDSIGNAL
  assign product0 = product[W+X-1:0];
  assign product1 = product[18+:W+X] + (W + X)'(product[17]);

`ifdef ZEILE_DSP48E2
  // P = (A + D) * B, of 27 and 18 bits; registers A, B, D and M.
  wire logic [47:0] p;
  assign product = p[44:0];
  DSP48E2 #(
      .AMULTSEL("AD"), .BMULTSEL("B"), .PREADDINSEL("A"), .A_INPUT("DIRECT"), .B_INPUT("DIRECT"),
      .USE_MULT("MULTIPLY"), .USE_SIMD("ONE48"), .AREG(1), .ACASCREG(1), .BREG(1), .BCASCREG(1), .DREG(1), .ADREG(0),
      .CREG(0), .MREG(1), .PREG(0), .ALUMODEREG(0), .CARRYINREG(0), .CARRYINSELREG(0), .INMODEREG(0), .OPMODEREG(0)
  ) slice (
      .CLK(clk), .A(30'($signed(weight1)) << 18), .D(27'($signed(weight0))), .B(18'($signed(code))), .C(48'd0), .P(p),
      .INMODE(5'b00100), .OPMODE(9'b00_000_01_01), .ALUMODE(4'b0000), .CARRYIN(1'b0), .CARRYINSEL(3'b000),
      .CEA1(1'b0), .CEA2(1'b1), .CEB1(1'b0), .CEB2(1'b1), .CED(1'b1), .CEAD(1'b0), .CEC(1'b0), .CEM(1'b1), .CEP(1'b0),
      .CEALUMODE(1'b0), .CECARRYIN(1'b0), .CECTRL(1'b0), .CEINMODE(1'b0),
      .RSTA(1'b0), .RSTB(1'b0), .RSTC(1'b0), .RSTD(1'b0), .RSTM(1'b0), .RSTP(1'b0), .RSTALLCARRYIN(1'b0),
      .RSTALUMODE(1'b0), .RSTCTRL(1'b0), .RSTINMODE(1'b0),
      .ACIN(30'd0), .BCIN(18'd0), .PCIN(48'd0), .CARRYCASCIN(1'b0), .MULTSIGNIN(1'b0),
      .ACOUT(), .BCOUT(), .PCOUT(), .CARRYCASCOUT(), .CARRYOUT(), .MULTSIGNOUT(), .OVERFLOW(), .PATTERNDETECT(),
      .PATTERNBDETECT(), .UNDERFLOW(), .XOROUT());
`else
  logic signed [26:0] both;
  logic signed [X-1:0] code_q;
  (* use_dsp = "yes" *) logic signed [26+X:0] both_times_code;
  assign product = 45'(both_times_code);
  always_ff @(posedge clk) begin
    both <= (27'($signed(weight1)) <<< 18) + 27'($signed(weight0));
    code_q <= code;
    both_times_code <= both * code_q;
  end
`endif
endmodule

`default_nettype wire
