# SPDX-License-Identifier: Apache-2.0
# The core of one design, from C++ to an IP that Vivado takes: csynth, then export.
#
#     vitis-run --mode hls --tcl tcl/hls.tcl         Vitis 2023.2 and later
#     vitis_hls -f tcl/hls.tcl                       before
#
# Environment (the Makefile sets it; neither tool hands arguments on in the same way):
#   HW_BUILD    folder of this build, with design.tcl, config.h and chain.h
#   HW_SRC   folder hw_src
#   HW_STEP     csynth (reports only) or export (reports and IP; the default)
#
# Leaves HW_BUILD/hls/*.xml and *.rpt, and HW_BUILD/ip with the packaged IP.

source [file join $::env(HW_SRC) tcl common.tcl]
source [file join $::env(HW_BUILD) design.tcl]

set build $::env(HW_BUILD)
set hls [file join $::env(HW_SRC) hls]
set step [expr {[info exists ::env(HW_STEP)] ? $::env(HW_STEP) : "export"}]

cd $build
open_hls_project zeile_hls
set_top zeile_core
add_files [file join $hls top.cpp] -cflags [hls_flags $hls $build]
set_part $part
create_clock -period $period_ns -name default
config_compile -name_max_length 96
reset_hls_state
csynth_design
keep_hls_reports zeile_hls [file join $build hls]
if {$step eq "export"} {
  lassign [split $vlnv_core ":"] vendor library name version
  config_export -format ip_catalog -rtl verilog -vendor $vendor -library $library -ipname $name -version $version \
    -display_name "Zeile $design" -description "Line recognition core of the design $design"
  export_design -format ip_catalog -rtl verilog
  keep_hls_ip zeile_hls [file join $build ip]
}
exit 0
