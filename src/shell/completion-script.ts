// What bash needs to complete gantry's words: it asks gantry itself, so that the words cannot drift from the table.

/** Hidden first word by which bash asks; after it the words of the line, the last one as far as it is typed. */
export const COMPLETE = "--complete";

/** A colon ends a word for bash, so that names with one (iqn.…:x) are put back together first (bash-completion does). */
export const completionScript = (): string => `_gantry() {
  local words=("\${COMP_WORDS[@]:1:COMP_CWORD}")
  local IFS=$'\\n'
  if declare -F _get_comp_words_by_ref >/dev/null; then
    local cur cword
    _get_comp_words_by_ref -n : cur words cword
    words=("\${words[@]:1:cword}")
  fi
  COMPREPLY=($(gantry ${COMPLETE} "\${words[@]}" 2>/dev/null))
  if [[ \${COMPREPLY[0]} == */ ]]; then compopt -o nospace; fi
  if declare -F __ltrim_colon_completions >/dev/null; then __ltrim_colon_completions "\${words[-1]}"; fi
}
complete -F _gantry gantry
`;
