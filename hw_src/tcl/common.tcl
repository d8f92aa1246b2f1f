# SPDX-License-Identifier: Apache-2.0
# What the Vitis HLS scripts share: one project layout under both command sets, and where results go.

# Components replaced projects and solutions; a solution called "hls" gives the same folders under both.
proc open_hls_project {project} {
  if {[llength [info commands open_component]]} {
    open_component -reset $project -flow_target vivado
  } else {
    open_project -reset $project
    open_solution -reset -flow_target vivado hls
  }
}

# Generated headers lie in the build folder, so it comes first.
proc hls_flags {hls build} {
  return "-std=c++14 -I$build -I$hls"
}

# The tool's default resets control registers only: a unit's state would be right after a download, and keep its values
# over a reset in mid-line. Big memories opt out by a RESET pragma; what they hold never matters.
proc reset_hls_state {} {
  config_rtl -reset state
}

proc keep_hls_reports {project folder} {
  set found [glob -nocomplain [file join $project hls syn report *csynth.xml] [file join $project hls syn report *.rpt]]
  if {![llength $found]} {
    error "Vitis HLS left no report in [file join [pwd] $project hls syn report]; look into its log for the reason"
  }
  file delete -force $folder
  file mkdir $folder
  foreach path $found {
    file copy -force $path $folder
  }
}

proc keep_hls_ip {project folder} {
  set ip [file join $project hls impl ip]
  if {![file exists [file join $ip component.xml]]} {
    error "Vitis HLS left no IP in [file join [pwd] $ip]; look into its log for the reason"
  }
  file delete -force $folder
  file copy $ip $folder
}
