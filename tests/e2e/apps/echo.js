// SPDX-License-Identifier: Apache-2.0
// node echo.js echo|http|cluster PORT: a byte echo; HTTP that sends a body back, or its pid; the same with
// four workers.
const [mode, port] = [process.argv[2], Number(process.argv[3])];
const answer = (request, response) =>
    request.method === 'POST' ? request.pipe(response) : response.end(`${process.pid}\n`);

if (mode === 'echo') {
    require('net').createServer({allowHalfOpen: true}, socket => socket.pipe(socket)).listen({port, backlog: 500});
} else if (mode === 'cluster' && require('cluster').isPrimary) {
    for (let i = 0; i < 4; i++)
        require('cluster').fork();
} else {
    require('http').createServer(answer).listen(port);
}
