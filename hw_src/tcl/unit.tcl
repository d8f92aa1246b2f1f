# SPDX-License-Identifier: Apache-2.0
# A part of the core alone: one unit's synthesis, or the whole core's C simulation and co-simulation against its RTL.
#
#     vitis-run --mode hls --tcl tcl/unit.tcl        Vitis 2023.2 and later
#     vitis_hls -f tcl/unit.tcl                      before
#
# Environment (the Makefile sets it):
#   HW_BUILD    folder of this build, with design.tcl and the generated headers
#   HW_SRC   folder hw_src
#   HW_UNIT     a unit of chain.h, as conv0 or forward: csynth; or core: csim, csynth, cosim with vectors.txt
#
# Leaves HW_BUILD/unit-<unit>/*.xml and *.rpt.
#
# Units are not co-simulated one by one: a call of a unit is one cycle, so a bench of its calls would drive it as it is
# never driven. The core of the design tiny has every kind of unit, and runs them as hardware does.

source [file join $::env(HW_SRC) tcl common.tcl]
source [file join $::env(HW_BUILD) design.tcl]

set build $::env(HW_BUILD)
set hls [file join $::env(HW_SRC) hls]
set unit $::env(HW_UNIT)
set flags [hls_flags $hls $build]

cd $build
open_hls_project unit_$unit
if {$unit eq "core"} {
  set_top zeile_core
  add_files [file join $hls top.cpp] -cflags $flags
  add_files -tb [file join $hls test core_tb.cpp] -cflags $flags
  add_files -tb [file join $build vectors.txt]
} else {
  set_top ${unit}_unit
  add_files [file join $hls units.cpp] -cflags $flags
}
set_part $part
create_clock -period $period_ns -name default
reset_hls_state
if {$unit eq "core"} {
  csim_design -argv [file join $build vectors.txt]
}
csynth_design
keep_hls_reports unit_$unit [file join $build unit-$unit]
if {$unit eq "core"} {
  cosim_design -rtl verilog -argv [file join $build vectors.txt]
}
exit 0
