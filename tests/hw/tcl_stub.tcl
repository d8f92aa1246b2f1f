# SPDX-License-Identifier: Apache-2.0
# A dry run of the build scripts without AMD's tools: every command of theirs is a recorder.
#
#     tclsh tests/hw/tcl_stub.tcl SCRIPT TOOL RECORD [TIMING]
#
#   SCRIPT   hw_src/tcl/hls.tcl, unit.tcl, rtl.tcl or vivado.tcl; its environment is set by the caller
#   TOOL     vitis-run (has open_component), vitis_hls (has open_project) or vivado
#   RECORD   file to which each call is appended: its words, joined by tabs
#   TIMING   file with the timing summary that the routed design shall have
#
# Files that the tools would write are empty shells, or those of the folder HW_STUB_FILES by the same name.
#
# Ends with 3 at an unknown command or option, 4 at a missing file, 5 at a pin that no block has; else as the script.
# Commands, options and pins: UG1399, UG835 and the product guides of the blocks (2024.1).

lassign $argv script tool record timing
set ::record [open $record w]
set ::properties [dict create]
set ::cells [dict create]

# Options of each command: with a value (1) or without (0). The rest are arguments.
set ::hls_commands {
  set_top {} set_part {} create_clock {-period 1 -name 1} csim_design {-argv 1} csynth_design {}
  add_files {-tb 0 -cflags 1} cosim_design {-rtl 1 -argv 1} config_compile {-name_max_length 1}
  config_rtl {-reset 1}
  config_export {-format 1 -rtl 1 -vendor 1 -library 1 -ipname 1 -version 1 -display_name 1 -description 1}
  export_design {-format 1 -rtl 1}
}
set ::vitis_run_commands {open_component {-reset 0 -flow_target 1}}
set ::vitis_hls_commands {open_project {-reset 0} open_solution {-reset 0 -flow_target 1}}
set ::vivado_commands {
  get_board_parts {-quiet 0 -latest_file_version 0} create_project {-force 0 -part 1} current_project {}
  set_property {-dict 0} get_property {} update_ip_catalog {} create_bd_design {} create_bd_cell {-type 1 -vlnv 1}
  apply_bd_automation {-rule 1 -config 1} get_bd_cells {} get_bd_pins {} get_bd_intf_pins {} connect_bd_net {}
  connect_bd_intf_net {} assign_bd_address {-offset 1 -range 1 -target_address_space 1 -force 0}
  get_bd_addr_spaces {} get_bd_addr_segs {-quiet 0} exclude_bd_addr_seg {-target_address_space 1}
  validate_bd_design {} save_bd_design {} get_files {} generate_target {} add_files {-norecurse 0}
  make_wrapper {-files 1 -top 0} current_fileset {} update_compile_order {-fileset 1} get_runs {}
  launch_runs {-jobs 1} wait_on_run {} open_run {} write_bitstream {-force 0}
  report_utilization {-file 1 -hierarchical 0 -hierarchical_depth 1} report_clock_utilization {-file 1}
  report_power {-file 1} report_drc {-file 1} report_methodology {-file 1}
  report_timing_summary {-delay_type 1 -report_unconstrained 0 -max_paths 1 -return_string 0}
  ipx::package_project {-root_dir 1 -vendor 1 -library 1 -taxonomy 1 -import_files 0 -set_current 1}
  ipx::current_core {} ipx::get_bus_interfaces {-of_objects 1} ipx::associate_bus_interfaces {-busif 1 -clock 1}
  ipx::create_xgui_files {} ipx::update_checksums {} ipx::check_integrity {} ipx::save_core {}
}
# Commands with a namespace, and what they do.
namespace eval ipx {}
namespace eval do_ipx {}
set ::pins {
  zynq_ultra_ps_e {M_AXI_HPM0_FPD S_AXI_HP0_FPD maxihpm0_fpd_aclk saxihp0_fpd_aclk pl_clk0 pl_resetn0 pl_ps_irq0}
  axi_dma {S_AXI_LITE M_AXI_MM2S M_AXI_S2MM M_AXIS_MM2S S_AXIS_S2MM s_axi_lite_aclk m_axi_mm2s_aclk m_axi_s2mm_aclk
    axi_resetn mm2s_introut s2mm_introut}
  axi_intc {s_axi s_axi_aclk s_axi_aresetn intr irq}
  xlconcat {In0 In1 dout}
  smartconnect {S00_AXI S01_AXI M00_AXI M01_AXI aclk aresetn}
  proc_sys_reset {slowest_sync_clk ext_reset_in peripheral_aresetn}
  zeile {s_in m_out ap_clk ap_rst_n}
}

proc fail {code message} {
  puts stderr $message
  exit $code
}

proc note {name arguments} {
  puts $::record [join [list $name {*}$arguments] "\t"]
  flush $::record
}

# Splits a call into a dictionary of options and a list of arguments; refuses options that the command has not.
proc split_call {name options arguments} {
  set found [dict create]
  set rest {}
  for {set i 0} {$i < [llength $arguments]} {incr i} {
    set word [lindex $arguments $i]
    if {[string match "-\[a-z\]*" $word]} {
      if {![dict exists $options $word]} {
        fail 3 "$name has no option $word"
      }
      dict set found $word [expr {[dict get $options $word] ? [lindex $arguments [incr i]] : 1}]
    } else {
      lappend rest $word
    }
  }
  return [list $found $rest]
}

proc need_file {path} {
  if {![file exists $path]} {
    fail 4 "missing file: $path"
  }
}

proc leave_file {path content} {
  file mkdir [file dirname $path]
  set out [open $path wb]
  puts -nonewline $out $content
  close $out
}

# A file that a tool would leave: the one of that name that the caller provides, else a shell.
proc leave {path name shell} {
  if {[info exists ::env(HW_STUB_FILES)] && [file exists [file join $::env(HW_STUB_FILES) $name]]} {
    # Not `file copy`, which keeps the time of the original: make looks at it.
    set in [open [file join $::env(HW_STUB_FILES) $name] rb]
    leave_file $path [read $in]
    close $in
  } else {
    leave_file $path $shell
  }
}

# -- What some commands do beside being recorded: proc do_<command> {options arguments} --------------------------------

proc do_open_component {options arguments} {
  set ::project [lindex $arguments 0]
}
proc do_open_project {options arguments} {
  set ::project [lindex $arguments 0]
}
proc do_add_files {options arguments} {
  foreach path [expr {[dict exists $options -norecurse] ? [lindex $arguments 0] : $arguments}] {
    need_file $path
    lappend ::sources $path
  }
}
proc do_csynth_design {options arguments} {
  leave_file [file join $::project hls syn report csynth.xml] "<profile/>"
  leave [file join $::project hls syn report zeile_core_csynth.xml] zeile_core_csynth.xml "<profile/>"
}
proc do_export_design {options arguments} {
  leave_file [file join $::project hls impl ip component.xml] "<component/>"
}
# The packager finds a stream by the attributes of the top's ports.
proc do_ipx::package_project {options arguments} {
  set ::ip [dict get $options -root_dir]
  set ::top_text ""
  foreach path $::sources {
    if {[file rootname [file tail $path]] eq [dict get $::properties sources_1 top]} {
      set in [open $path]
      set ::top_text [read $in]
      close $in
    }
  }
}
proc do_ipx::current_core {options arguments} {
  return core
}
proc do_ipx::get_bus_interfaces {options arguments} {
  set name [lindex $arguments 0]
  return [expr {[string match "*interface:axis:1.0 $name TDATA*" $::top_text] ? $name : ""}]
}
proc do_ipx::associate_bus_interfaces {options arguments} {
  if {![regexp "\\m[dict get $options -clock]\\M" $::top_text]} {
    fail 5 "there is no port [dict get $options -clock]"
  }
}
proc do_ipx::save_core {options arguments} {
  leave_file [file join $::ip component.xml] "<component/>"
}
proc do_get_board_parts {options arguments} {
  return [expr {[lindex $arguments 0] eq "*:zcu104:*" ? "xilinx.com:zcu104:part0:1.1" : ""}]
}
proc do_create_project {options arguments} {
  set ::folder [lindex $arguments 1]
}
proc do_create_bd_cell {options arguments} {
  dict set ::cells [lindex $arguments 0] [lindex [split [dict get $options -vlnv] ":"] 2]
}
proc do_get_bd_cells {options arguments} {
  if {![dict exists $::cells [lindex $arguments 0]]} {
    fail 5 "there is no block [lindex $arguments 0]"
  }
  return [lindex $arguments 0]
}
proc pin {path} {
  lassign [split $path "/"] cell name
  if {![dict exists $::cells $cell] || $name ni [dict get $::pins [dict get $::cells $cell]]} {
    fail 5 "there is no pin $path"
  }
  return $path
}
proc do_get_bd_pins {options arguments} {
  return [pin [lindex $arguments 0]]
}
proc do_get_bd_intf_pins {options arguments} {
  return [pin [lindex $arguments 0]]
}
proc do_get_bd_addr_spaces {options arguments} {
  return [lindex $arguments 0]
}
proc do_get_bd_addr_segs {options arguments} {
  set pattern [lindex $arguments 0]
  if {[string match "*\\*" $pattern]} {
    set stem [string range $pattern 0 end-1]
    return [list ${stem}HP0_DDR_LOW ${stem}HP0_QSPI ${stem}HP0_LPS_OCM]
  }
  return $pattern
}
proc do_current_project {options arguments} {
  return project
}
proc do_current_fileset {options arguments} {
  return sources_1
}
proc do_get_files {options arguments} {
  return [lindex $arguments 0]
}
proc do_get_runs {options arguments} {
  return [lindex $arguments 0]
}
proc do_set_property {options arguments} {
  set pairs [expr {[dict exists $options -dict] ? [lindex $arguments 0] : [lrange $arguments 0 1]}]
  foreach {name value} $pairs {
    dict set ::properties [lindex $arguments end] $name $value
  }
}
proc do_get_property {options arguments} {
  lassign $arguments name object
  switch -glob $name {
    PROGRESS { return "100%" }
    STATUS { return "Complete" }
    *PL0_REF_CTRL__ACT_FREQMHZ {
      set wanted [dict get $::properties $object CONFIG.PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ]
      return [format %.6f [expr {1499.985 / round(1499.985 / $wanted)}]]
    }
  }
  return [dict get $::properties $object $name]
}
proc do_make_wrapper {options arguments} {
  set path [file join $::folder system_wrapper.v]
  leave_file $path "module system_wrapper; endmodule\n"
  return $path
}
proc do_generate_target {options arguments} {
  leave [file join $::folder design.gen sources_1 bd system hw_handoff system.hwh] system.hwh "<EDKSYSTEM/>"
}
proc do_report_timing_summary {options arguments} {
  set in [open $::timing]
  set text [read $in]
  close $in
  return $text
}
proc do_report_utilization {options arguments} {
  set path [dict get $options -file]
  leave $path [file tail $path] ""
}
proc do_write_bitstream {options arguments} {
  leave [lindex $arguments 0] system.bit "no bitstream: a dry run\n"
}

# -- The run -----------------------------------------------------------------------------------------------------------

proc define {commands} {
  foreach {name options} $commands {
    interp alias {} $name {} recorded $name $options
  }
}

proc recorded {name options args} {
  note $name $args
  lassign [split_call $name $options $args] found rest
  if {[llength [info procs do_$name]]} {
    return [do_$name $found $rest]
  }
}

switch $tool {
  vitis-run { define "$::hls_commands $::vitis_run_commands" }
  vitis_hls { define "$::hls_commands $::vitis_hls_commands" }
  vivado { define $::vivado_commands }
  default { fail 3 "unknown tool: $tool" }
}
proc unknown {name args} {
  fail 3 "unknown command: $name"
}
source $script
