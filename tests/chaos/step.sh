# The program of every step: notes when it begins and ends, checks that the volumes hold what the steps before it
# wrote, and ends as the plan of its job says.
#
# usage: sh step.sh FOLDER STEP JOB-DATA OUTPUT-DATA [whatever Lando adds]
set -u
folder=$1 step=$2 job_data=$3 output_data=$4
name=$(printf '%s' "$step" | tr _ -)
rest=${HOSTNAME#"$name-"} # the pod is called <step>-<job>-<user>-<random>
job=${rest%%-*}

note() { printf '%s %s %s %s %s\n' "$(date +%s.%N)" "$job" "$step" "$HOSTNAME" "$1" >>"$folder/journal"; }

exec 9>"$folder/locks/$job-$step"
flock --nonblock 9 || note overlap # another attempt of this step has its lock, so it runs
trap 'note stopped; exit 143' TERM
note begin

seconds=0.1 fails= code=1
. "$folder/plans/$job"
sleep "$seconds" 9>&- &
wait $!

case $step in
  stage_data) before= after=$job_data/staged ;;
  run_workflow) before=$job_data/staged after=$output_data/ran ;;
  organize_output) before=$output_data/ran after=$output_data/organized ;;
  save_output) before=$output_data/organized after=$output_data/saved ;;
esac
if [ -n "$before" ] && ! [ -e "$before" ]; then
  note "lost-data"
  exit 99
fi
if [ "$fails" = "$step" ]; then
  note "exit-$code"
  exit "$code"
fi
: >"$after"
if [ "$step" = save_output ]; then
  printf '{"project_id": "project-%s", "readme_file_id": "readme-%s"}' "$job" "$job" >"$LANDO_TERMINATION_LOG"
fi
note success
