// Requests are JSON objects on stdin, one after the other; each gets one on stdout.
const readline = require('readline')

let text = ''
readline.createInterface({ input: process.stdin }).on('line', (line) => {
  text += line
  let request
  try {
    request = JSON.parse(text)
  } catch {
    return // There are more lines of it.
  }
  text = ''

  const name = request.body.trim() || 'world'
  console.error(`greeting ${name}`)
  const headers = { 'Content-Type': ['text/plain; charset=utf-8'] }
  console.log(JSON.stringify({ body: `Hello, ${name}!\n`, protocol: { status_code: 200, headers } }))
})
