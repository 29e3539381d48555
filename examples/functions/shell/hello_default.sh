# A container is started for each call: stdin is the body, stdout the answer, stderr the log.
read -r name || name=${name:-world}
echo "greeting $name" >&2
echo "Hello, $name!"
