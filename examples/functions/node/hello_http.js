// Requests come on stdin, one after the other; each gets its response on stdout. To node's own server the two are a
// connection like any other.
const http = require('http')
const { Duplex } = require('stream')

const server = http.createServer(async (request, response) => {
  let body = ''
  for await (const part of request.setEncoding('utf8')) body += part

  const name = body.trim() || 'world'
  console.error(`greeting ${name}`)
  const answer = `Hello, ${name}!\n`
  response.writeHead(200, { 'Content-Type': 'text/plain; charset=utf-8', 'Content-Length': Buffer.byteLength(answer) })
  response.end(answer)
})
// The connection stays for as long as the container does.
server.keepAliveTimeout = 0
server.emit('connection', Duplex.from({ readable: process.stdin, writable: process.stdout }))
