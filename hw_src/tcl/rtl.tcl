# SPDX-License-Identifier: Apache-2.0
# The core of one design in SystemVerilog, packaged as the IP that Vitis HLS would make of the C++: same name, same
# ports, so the block design takes either. Vivado alone does it.
#
#     vivado -mode batch -source tcl/rtl.tcl
#
# Environment (the Makefile sets it):
#   HW_BUILD    folder of this build, with design.tcl and the generated core.sv
#   HW_SRC   folder hw_src
#
# Leaves HW_BUILD/zeile_rtl.sv, all sources in one file, and HW_BUILD/ip with the packaged IP.

source [file join $::env(HW_BUILD) design.tcl]

set build $::env(HW_BUILD)
set rtl [file join $::env(HW_SRC) rtl]

# All sources behind the macro that chooses explicit DSP slices. In one file, because a packaged IP keeps its files
# but neither the macros nor the include folders of its project; so what modules include stands in them here.
proc join_sources {headers files to} {
  set included {}
  foreach header $headers {
    lappend included "`include \"[file tail $header]\"" [read_text $header]
  }
  set out [open $to w]
  puts $out "`define ZEILE_DSP48E2"
  foreach file $files {
    puts $out [string map $included [read_text $file]]
  }
  close $out
}

proc read_text {path} {
  set in [open $path]
  set text [read $in]
  close $in
  return $text
}

set core [file join $build core.sv]
if {![file exists $core]} {
  error "there is no $core; run make config first"
}
set headers [lsort [glob -nocomplain [file join $rtl *.svh]]]
set units [lsort [glob -nocomplain [file join $rtl *.sv]]]
set joined [file join $build zeile_rtl.sv]
set ip [file join $build ip]
join_sources $headers [concat $units [list $core]] $joined

create_project -force zeile_rtl [file join $build rtl] -part $part
add_files -norecurse [list $joined [file join $rtl zeile_ip.v]]
set_property top zeile_ip [current_fileset]
update_compile_order -fileset sources_1

file delete -force $ip
lassign [split $vlnv_core ":"] vendor library name version
ipx::package_project -root_dir $ip -vendor $vendor -library $library -taxonomy /UserIP -import_files -set_current true
set packaged [ipx::current_core]
set_property name $name $packaged
set_property version $version $packaged
set_property display_name "Zeile $design" $packaged
set_property description "Line recognition core of the design $design, SystemVerilog" $packaged
set_property supported_families [list zynquplus Production] $packaged
foreach stream [list $stream_in $stream_out] {
  if {[ipx::get_bus_interfaces $stream -of_objects $packaged] eq ""} {
    error "the packaged IP has no stream $stream; look into the attributes of [file join $rtl zeile_ip.v]"
  }
  ipx::associate_bus_interfaces -busif $stream -clock ap_clk $packaged
}
ipx::create_xgui_files $packaged
ipx::update_checksums $packaged
ipx::check_integrity $packaged
ipx::save_core $packaged
if {![file exists [file join $ip component.xml]]} {
  error "Vivado left no IP in $ip; look into its log for the reason"
}
exit 0
