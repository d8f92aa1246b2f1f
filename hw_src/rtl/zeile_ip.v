// SPDX-License-Identifier: Apache-2.0
// The core `zeile_rtl` with the ports that Vitis HLS gives the C++ kernel, so that the block design takes either.
// Plain Verilog: Vivado's block designs take no SystemVerilog module as the top of an IP. Wires only, no latency.
`default_nettype none

module zeile_ip (
    (* X_INTERFACE_INFO = "xilinx.com:signal:clock:1.0 ap_clk CLK" *)
    (* X_INTERFACE_PARAMETER = "ASSOCIATED_BUSIF s_in:m_out, ASSOCIATED_RESET ap_rst_n" *)
    input  wire        ap_clk,
    (* X_INTERFACE_INFO = "xilinx.com:signal:reset:1.0 ap_rst_n RST" *)
    (* X_INTERFACE_PARAMETER = "POLARITY ACTIVE_LOW" *)
    input  wire        ap_rst_n,

    (* X_INTERFACE_INFO = "xilinx.com:interface:axis:1.0 s_in TDATA" *)
    input  wire [63:0] s_in_TDATA,
    (* X_INTERFACE_INFO = "xilinx.com:interface:axis:1.0 s_in TKEEP" *)
    input  wire [7:0]  s_in_TKEEP,
    (* X_INTERFACE_INFO = "xilinx.com:interface:axis:1.0 s_in TLAST" *)
    input  wire        s_in_TLAST,
    (* X_INTERFACE_INFO = "xilinx.com:interface:axis:1.0 s_in TVALID" *)
    input  wire        s_in_TVALID,
    (* X_INTERFACE_INFO = "xilinx.com:interface:axis:1.0 s_in TREADY" *)
    output wire        s_in_TREADY,

    (* X_INTERFACE_INFO = "xilinx.com:interface:axis:1.0 m_out TDATA" *)
    output wire [63:0] m_out_TDATA,
    (* X_INTERFACE_INFO = "xilinx.com:interface:axis:1.0 m_out TKEEP" *)
    output wire [7:0]  m_out_TKEEP,
    (* X_INTERFACE_INFO = "xilinx.com:interface:axis:1.0 m_out TLAST" *)
    output wire        m_out_TLAST,
    (* X_INTERFACE_INFO = "xilinx.com:interface:axis:1.0 m_out TVALID" *)
    output wire        m_out_TVALID,
    (* X_INTERFACE_INFO = "xilinx.com:interface:axis:1.0 m_out TREADY" *)
    input  wire        m_out_TREADY
);

  zeile_rtl core (
      .clk(ap_clk),
      .aresetn(ap_rst_n),
      .s_axis_tdata(s_in_TDATA),
      .s_axis_tkeep(s_in_TKEEP),
      .s_axis_tlast(s_in_TLAST),
      .s_axis_tvalid(s_in_TVALID),
      .s_axis_tready(s_in_TREADY),
      .m_axis_tdata(m_out_TDATA),
      .m_axis_tkeep(m_out_TKEEP),
      .m_axis_tlast(m_out_TLAST),
      .m_axis_tvalid(m_out_TVALID),
      .m_axis_tready(m_out_TREADY)
  );

endmodule

`default_nettype wire
