# A request has a line for each of its parts. The body is taken as it is written, in JSON, and put into the answer so.
while read -r line; do
    case $line in
        ',"body":'*)
            name=${line#',"body":"'} name=${name%'"'}
            name=${name:-world}
            echo "greeting $name" >&2
            printf '{"body":"Hello, %s!"}\n' "$name"
            ;;
    esac
done
