# Requests come one after the other; each is a request line, headers, an empty line, and the body.
return=$(printf '\r')
while read -r request; do
    length=0
    while read -r header && [ "$header" != "$return" ]; do
        case $header in
            Content-Length:*) length=${header#*: } length=${length%"$return"} ;;
        esac
    done
    # Byte by byte: what is behind the body belongs to the next request.
    name=$(dd bs=1 count="$length" 2>/dev/null)
    name=${name:-world}
    echo "greeting $name" >&2
    text="Hello, $name!"
    printf 'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %s\r\n\r\n%s' "$(printf %s "$text" | wc -c)" "$text"
done
