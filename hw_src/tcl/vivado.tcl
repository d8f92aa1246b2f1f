# SPDX-License-Identifier: Apache-2.0
# The ZCU104 system around the core: block design, implementation, timing gate, bitstream.
#
#     vivado -mode batch -source tcl/vivado.tcl
#
# Environment (the Makefile sets it):
#   HW_BUILD    folder of this build, with design.tcl and the IP in ip/
#   HW_SRC   folder hw_src
#   HW_JOBS     parallel jobs (default 4)
#
# Leaves HW_BUILD/<design>.bit, <design>.hwh and reports/. Every connection is spelled out: connection automation
# chooses names and addresses by itself, and the driver and the generated .hwh rely on them.

source [file join $::env(HW_SRC) tcl timing.tcl]
source [file join $::env(HW_SRC) tcl report.tcl]
source [file join $::env(HW_BUILD) design.tcl]

set build $::env(HW_BUILD)
set reports [file join $build reports]
set jobs [expr {[info exists ::env(HW_JOBS)] ? $::env(HW_JOBS) : 4}]
set ps zynq_ultra_ps_e_0
set dma axi_dma_0
set intc axi_intc_0

# -- Project -----------------------------------------------------------------------------------------------------------

set board_part [lindex [get_board_parts -quiet -latest_file_version "*:$board_file:*"] 0]
if {$board_part eq ""} {
  error "Vivado knows no board $board_file; install its board files (Tools > Vivado Store > Boards)"
}
if {![file exists [file join $build ip component.xml]]} {
  error "there is no IP in [file join $build ip]; run make ip first"
}
file mkdir $reports
create_project -force $design [file join $build vivado] -part $part
set_property board_part $board_part [current_project]
set_property ip_repo_paths [list [file join $build ip]] [current_project]
update_ip_catalog
create_bd_design system

# -- Blocks ------------------------------------------------------------------------------------------------------------

create_bd_cell -type ip -vlnv xilinx.com:ip:zynq_ultra_ps_e $ps
apply_bd_automation -rule xilinx.com:bd_rule:zynq_ultra_ps_e -config {apply_board_preset "1"} [get_bd_cells $ps]
# The reference clock is stated because pynq computes with 33.333 MHz, so that IOPLL / n is the same here and there.
set_property -dict [list \
  CONFIG.PSU__PSS_REF_CLK__FREQMHZ 33.333 \
  CONFIG.PSU__FPGA_PL0_ENABLE 1 \
  CONFIG.PSU__CRL_APB__PL0_REF_CTRL__SRCSEL IOPLL \
  CONFIG.PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ $clock_request_mhz \
  CONFIG.PSU__USE__FABRIC__RST 1 \
  CONFIG.PSU__USE__IRQ0 1 \
  CONFIG.PSU__USE__M_AXI_GP0 1 \
  CONFIG.PSU__MAXIGP0__DATA_WIDTH 128 \
  CONFIG.PSU__USE__M_AXI_GP1 0 \
  CONFIG.PSU__USE__M_AXI_GP2 0 \
  CONFIG.PSU__USE__S_AXI_GP2 1 \
  CONFIG.PSU__SAXIGP2__DATA_WIDTH 128 \
] [get_bd_cells $ps]

# Vivado turns the request into dividers, and times what comes of it; the driver sets the manifest's clock.
set actual_mhz [get_property CONFIG.PSU__CRL_APB__PL0_REF_CTRL__ACT_FREQMHZ [get_bd_cells $ps]]
if {abs($actual_mhz - $clock_mhz) > 0.001} {
  error "PL0 would run at $actual_mhz MHz, the design says $clock_mhz; choose IOPLL/n for clock_mhz"
}

create_bd_cell -type ip -vlnv $vlnv_core zeile_0
create_bd_cell -type ip -vlnv $vlnv_dma $dma
set_property -dict [list \
  CONFIG.c_m_axi_s2mm_data_width.VALUE_SRC USER \
  CONFIG.c_s_axis_s2mm_tdata_width.VALUE_SRC USER \
] [get_bd_cells $dma]
set_property -dict [list \
  CONFIG.c_include_sg 0 \
  CONFIG.c_sg_include_stscntrl_strm 0 \
  CONFIG.c_sg_length_width $dma_length_bits \
  CONFIG.c_include_mm2s 1 \
  CONFIG.c_include_mm2s_dre 0 \
  CONFIG.c_m_axi_mm2s_data_width $stream_bits \
  CONFIG.c_m_axis_mm2s_tdata_width $stream_bits \
  CONFIG.c_mm2s_burst_size 16 \
  CONFIG.c_include_s2mm 1 \
  CONFIG.c_include_s2mm_dre 0 \
  CONFIG.c_m_axi_s2mm_data_width $stream_bits \
  CONFIG.c_s_axis_s2mm_tdata_width $stream_bits \
  CONFIG.c_s2mm_burst_size 16 \
  CONFIG.c_addr_width 32 \
] [get_bd_cells $dma]

# One pin on pl_ps_irq0[0], through the controller that PYNQ's Interrupt class walks to.
create_bd_cell -type ip -vlnv $vlnv_interrupts $intc
set_property -dict [list CONFIG.C_IRQ_CONNECTION 1] [get_bd_cells $intc]
create_bd_cell -type ip -vlnv xilinx.com:ip:xlconcat:2.1 xlconcat_0
set_property -dict [list CONFIG.NUM_PORTS 2] [get_bd_cells xlconcat_0]

create_bd_cell -type ip -vlnv xilinx.com:ip:smartconnect:1.0 control_0
set_property -dict [list CONFIG.NUM_SI 1 CONFIG.NUM_MI 2] [get_bd_cells control_0]
create_bd_cell -type ip -vlnv xilinx.com:ip:smartconnect:1.0 memory_0
set_property -dict [list CONFIG.NUM_SI 2 CONFIG.NUM_MI 1] [get_bd_cells memory_0]
create_bd_cell -type ip -vlnv xilinx.com:ip:proc_sys_reset:5.0 reset_0

# -- Connections -------------------------------------------------------------------------------------------------------

foreach {from to} [list \
  $ps/M_AXI_HPM0_FPD control_0/S00_AXI \
  control_0/M00_AXI $dma/S_AXI_LITE \
  control_0/M01_AXI $intc/s_axi \
  $dma/M_AXI_MM2S memory_0/S00_AXI \
  $dma/M_AXI_S2MM memory_0/S01_AXI \
  memory_0/M00_AXI $ps/S_AXI_HP0_FPD \
  $dma/M_AXIS_MM2S zeile_0/$stream_in \
  zeile_0/$stream_out $dma/S_AXIS_S2MM \
] {
  connect_bd_intf_net [get_bd_intf_pins $from] [get_bd_intf_pins $to]
}
foreach {from to} [list \
  $dma/mm2s_introut xlconcat_0/In0 \
  $dma/s2mm_introut xlconcat_0/In1 \
  xlconcat_0/dout $intc/intr \
  $intc/irq $ps/pl_ps_irq0 \
  $ps/pl_resetn0 reset_0/ext_reset_in \
] {
  connect_bd_net [get_bd_pins $from] [get_bd_pins $to]
}
foreach pin [list $ps/maxihpm0_fpd_aclk $ps/saxihp0_fpd_aclk reset_0/slowest_sync_clk control_0/aclk memory_0/aclk \
  $dma/s_axi_lite_aclk $dma/m_axi_mm2s_aclk $dma/m_axi_s2mm_aclk $intc/s_axi_aclk zeile_0/ap_clk] {
  connect_bd_net [get_bd_pins $ps/pl_clk0] [get_bd_pins $pin]
}
foreach pin [list control_0/aresetn memory_0/aresetn $dma/axi_resetn $intc/s_axi_aresetn zeile_0/ap_rst_n] {
  connect_bd_net [get_bd_pins reset_0/peripheral_aresetn] [get_bd_pins $pin]
}

# -- Addresses ---------------------------------------------------------------------------------------------------------

assign_bd_address -offset $dma_base -range $register_range -target_address_space [get_bd_addr_spaces $ps/Data] \
  [get_bd_addr_segs $dma/S_AXI_LITE/Reg] -force
assign_bd_address -offset $intc_base -range $register_range -target_address_space [get_bd_addr_spaces $ps/Data] \
  [get_bd_addr_segs $intc/S_AXI/Reg] -force
foreach space [list $dma/Data_MM2S $dma/Data_S2MM] {
  # The board's 2 GB of DDR and nothing else: a wild address is then a decode error, not a write into a peripheral.
  assign_bd_address -offset 0x00000000 -range 0x80000000 -target_address_space [get_bd_addr_spaces $space] \
    [get_bd_addr_segs $ps/SAXIGP2/HP0_DDR_LOW] -force
  foreach segment [get_bd_addr_segs -quiet $ps/SAXIGP2/*] {
    if {![string match "*/HP0_DDR_LOW" $segment]} {
      exclude_bd_addr_seg -target_address_space [get_bd_addr_spaces $space] $segment
    }
  }
}
validate_bd_design
save_bd_design

# -- Implementation ----------------------------------------------------------------------------------------------------

proc finish_run {run jobs} {
  launch_runs $run -jobs $jobs
  wait_on_run $run
  if {[get_property PROGRESS [get_runs $run]] ne "100%"} {
    error "$run stopped: [get_property STATUS [get_runs $run]]; its runme.log says why"
  }
}

set block_design [get_files system.bd]
generate_target all $block_design
add_files -norecurse [make_wrapper -files $block_design -top]
set_property top system_wrapper [current_fileset]
update_compile_order -fileset sources_1
set_property strategy Performance_ExplorePostRoutePhysOpt [get_runs impl_1]
finish_run synth_1 $jobs
# Without -to_step it ends before write_bitstream, which must not run before the gate.
finish_run impl_1 $jobs
open_run impl_1
write_reports $reports
timing_gate [file join $reports timing_summary.rpt]
write_bitstream -force [file join $build $design.bit]

# Vivado 2020.2 and later keep generated files in .gen, earlier ones in .srcs.
set handoff [lindex [glob -nocomplain [file join $build vivado *.gen sources_1 bd system hw_handoff system.hwh] \
  [file join $build vivado *.srcs sources_1 bd system hw_handoff system.hwh]] 0]
if {$handoff eq ""} {
  error "Vivado left no system.hwh below [file join $build vivado]"
}
file copy -force $handoff [file join $build $design.hwh]
puts "Written: [file join $build $design.bit]"
exit 0
